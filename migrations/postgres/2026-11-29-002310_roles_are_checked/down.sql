ALTER TABLE users
    DROP CONSTRAINT users_role_check,
    ADD CONSTRAINT users_role_check
        CHECK (role IN ('admin', 'operator', 'support', 'auditor', 'service', 'user')) NOT VALID;
