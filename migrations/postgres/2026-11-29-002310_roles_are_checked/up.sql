-- Reads the table while everybody goes on.
ALTER TABLE users VALIDATE CONSTRAINT users_role_check;
