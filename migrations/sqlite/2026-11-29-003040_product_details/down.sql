DROP TRIGGER products_update_raises_version;
ALTER TABLE products DROP COLUMN updated_at;
ALTER TABLE products DROP COLUMN version;
ALTER TABLE products DROP COLUMN prior_price_cents;
ALTER TABLE products DROP COLUMN currency;
ALTER TABLE products DROP COLUMN image_url;
