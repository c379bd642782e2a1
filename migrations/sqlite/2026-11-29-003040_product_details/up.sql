-- Shown beside the product.
ALTER TABLE products ADD COLUMN image_url TEXT CONSTRAINT products_image_url_check CHECK (length(image_url) <= 2000);
-- ISO 4217. price_cents and prior_price_cents count its smallest unit.
ALTER TABLE products ADD COLUMN currency TEXT NOT NULL DEFAULT 'USD'
    CONSTRAINT products_currency_check CHECK (currency GLOB '[A-Z][A-Z][A-Z]');
-- The price before the sale.
ALTER TABLE products ADD COLUMN prior_price_cents INTEGER
    CONSTRAINT products_prior_price_cents_check CHECK (prior_price_cents >= 0);
-- Goes up with every change.
ALTER TABLE products ADD COLUMN version INTEGER NOT NULL DEFAULT 1 CONSTRAINT products_version_check CHECK (version >= 1);
-- None: never changed.
ALTER TABLE products ADD COLUMN updated_at INTEGER;

CREATE TRIGGER products_update_raises_version
AFTER UPDATE OF sku, name, description, price_cents, image_url, currency, prior_price_cents ON products
WHEN NEW.version <= OLD.version
    AND (OLD.sku, OLD.name, OLD.description, OLD.price_cents, OLD.image_url, OLD.currency, OLD.prior_price_cents)
        IS NOT (NEW.sku, NEW.name, NEW.description, NEW.price_cents, NEW.image_url, NEW.currency, NEW.prior_price_cents)
BEGIN
    UPDATE products
    SET version = OLD.version + 1, updated_at = CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
    WHERE id = NEW.id;
END;
