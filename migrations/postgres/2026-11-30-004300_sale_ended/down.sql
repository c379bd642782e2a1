-- The version before does not know this type, and would deliver nothing after it.
UPDATE event_batches SET type = 'sale.terms_changed' WHERE type = 'sale.ended';
CREATE OR REPLACE FUNCTION flash_sales_write_events() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    types TEXT[] := '{}';
    the_type TEXT;
BEGIN
    IF OLD.state = 'DRAFT' THEN
        IF NEW.state = 'LIVE' THEN
            types := ARRAY['sale.published'];
        END IF;
    ELSE
        IF (OLD.product_id, OLD.start_time, OLD.end_time) IS DISTINCT FROM (NEW.product_id, NEW.start_time, NEW.end_time) THEN
            types := types || 'sale.terms_changed'::text;
        END IF;
        IF NEW.initial_stock <> OLD.initial_stock THEN
            types := types || 'sale.stock_changed'::text;
        END IF;
        IF NEW.state = 'CANCELLED' AND OLD.state <> 'CANCELLED' THEN
            types := types || 'sale.cancelled'::text;
        ELSIF NEW.state = 'LIVE' THEN
            IF (OLD.paused_at IS NULL) <> (NEW.paused_at IS NULL) THEN
                types := types || CASE WHEN NEW.paused_at IS NULL THEN 'sale.resumed' ELSE 'sale.paused' END;
            END IF;
            IF (OLD.remaining_stock = 0) <> (NEW.remaining_stock = 0) THEN
                types := types || CASE WHEN NEW.remaining_stock = 0 THEN 'sale.sold_out' ELSE 'sale.restocked' END;
            END IF;
        END IF;
    END IF;
    FOREACH the_type IN ARRAY types LOOP
        NEW.event_seq := NEW.event_seq + 1;
        PERFORM flash_sales_note_event(the_type, NEW);
    END LOOP;
    RETURN NEW;
END $$;
