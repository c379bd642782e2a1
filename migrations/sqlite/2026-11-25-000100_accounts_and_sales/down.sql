DROP TABLE flash_sales;
DROP TABLE products;
DROP TABLE users;
