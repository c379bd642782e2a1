DROP TRIGGER flash_sales_update_notes_published;
DROP TRIGGER flash_sales_update_notes_terms;
DROP TRIGGER flash_sales_update_notes_stock;
DROP TRIGGER flash_sales_update_notes_cancelled;
DROP TRIGGER flash_sales_update_notes_paused;
DROP TRIGGER flash_sales_update_notes_resumed;
DROP TRIGGER flash_sales_update_notes_sold_out;
DROP TRIGGER flash_sales_update_notes_restocked;
DROP TRIGGER flash_sales_insert_notes_event;
DROP TRIGGER orders_update_moves_unit;
DROP TRIGGER orders_delete_gives_back_unit;
DROP TRIGGER orders_insert_takes_unit;
CREATE TRIGGER orders_insert_takes_unit AFTER INSERT ON orders WHEN NEW.status = 'SUCCESS'
BEGIN
    UPDATE flash_sales SET remaining_stock = remaining_stock - 1, moves = moves + 1 WHERE id = NEW.flash_sale_id;
END;
CREATE TRIGGER orders_delete_gives_back_unit AFTER DELETE ON orders WHEN OLD.status = 'SUCCESS'
BEGIN
    UPDATE flash_sales SET remaining_stock = remaining_stock + 1, moves = moves + 1 WHERE id = OLD.flash_sale_id;
END;
CREATE TRIGGER orders_update_moves_unit AFTER UPDATE OF status, flash_sale_id ON orders
BEGIN
    UPDATE flash_sales SET remaining_stock = remaining_stock + 1, moves = moves + 1
    WHERE id = OLD.flash_sale_id AND OLD.status = 'SUCCESS';
    UPDATE flash_sales SET remaining_stock = remaining_stock - 1, moves = moves + 1
    WHERE id = NEW.flash_sale_id AND NEW.status = 'SUCCESS';
END;
CREATE TRIGGER orders_delete_is_noted AFTER DELETE ON orders WHEN OLD.status = 'SUCCESS'
BEGIN
    INSERT OR REPLACE INTO released_orders (attempt_id, flash_sale_id, user_id)
    VALUES (OLD.attempt_id, OLD.flash_sale_id, OLD.user_id);
END;
CREATE TRIGGER orders_update_is_noted AFTER UPDATE ON orders
WHEN OLD.status = 'SUCCESS' AND (OLD.status, OLD.attempt_id, OLD.flash_sale_id, OLD.user_id)
    IS NOT (NEW.status, NEW.attempt_id, NEW.flash_sale_id, NEW.user_id)
BEGIN
    INSERT OR REPLACE INTO released_orders (attempt_id, flash_sale_id, user_id)
    VALUES (OLD.attempt_id, OLD.flash_sale_id, OLD.user_id);
END;
DROP TABLE event_positions;
DROP TABLE event_batches;
DROP TABLE event_recording;
ALTER TABLE flash_sales DROP COLUMN event_seq;
