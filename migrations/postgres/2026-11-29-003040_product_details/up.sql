-- A default that does not depend on the row is written into no row.
ALTER TABLE products
    -- Shown beside the product.
    ADD COLUMN image_url TEXT CONSTRAINT products_image_url_check CHECK (char_length(image_url) <= 2000),
    -- ISO 4217. price_cents and prior_price_cents count its smallest unit.
    ADD COLUMN currency TEXT NOT NULL DEFAULT 'USD' CONSTRAINT products_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    -- The price before the sale.
    ADD COLUMN prior_price_cents BIGINT CONSTRAINT products_prior_price_cents_check CHECK (prior_price_cents >= 0),
    -- Goes up with every change.
    ADD COLUMN version BIGINT NOT NULL DEFAULT 1 CONSTRAINT products_version_check CHECK (version >= 1);

CREATE FUNCTION products_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := greatest(NEW.version, OLD.version + 1);
    NEW.updated_at := now();
    RETURN NEW;
END $$;

CREATE TRIGGER products_update_raises_version BEFORE UPDATE ON products
    FOR EACH ROW WHEN (OLD IS DISTINCT FROM NEW) EXECUTE FUNCTION products_change();
