ALTER TABLE purchase_attempts DROP COLUMN log_offset;
