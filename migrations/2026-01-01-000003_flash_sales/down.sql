-- The extension stays: others may use it.
DROP TABLE flash_sales;
