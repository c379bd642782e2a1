DROP TABLE purchase_attempts;
