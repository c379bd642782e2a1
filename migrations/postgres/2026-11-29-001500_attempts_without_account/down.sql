-- As the version before recorded them.
UPDATE purchase_attempts SET outcome = 'REJECTED', cause = 'there is no user ' || user_id WHERE outcome = 'NO_ACCOUNT';
ALTER TABLE purchase_attempts
    DROP CONSTRAINT purchase_attempts_outcome_check,
    ADD CONSTRAINT purchase_attempts_outcome_check
        CHECK (outcome IN ('ORDERED', 'SOLD_OUT', 'ALREADY_ORDERED', 'REJECTED'));
