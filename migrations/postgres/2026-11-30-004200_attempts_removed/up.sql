-- Until when the attempts of a sale were removed (`flashsale attempts remove`): its end at that time. A record of such an attempt that
-- is read once more, as after the topic was made anew, gets no order. NULL: the attempts are there. Instant, without a default.
ALTER TABLE flash_sales ADD COLUMN attempts_removed_until TIMESTAMPTZ;
