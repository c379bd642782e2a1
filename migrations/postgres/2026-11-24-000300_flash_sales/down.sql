-- The extension stays: it may have been there before.
DROP TABLE flash_sales;
