DROP TRIGGER products_update_raises_version ON products;
DROP FUNCTION products_change();
ALTER TABLE products
    DROP COLUMN version,
    DROP COLUMN prior_price_cents,
    DROP COLUMN currency,
    DROP COLUMN image_url;
