-- Accounts that a starting API node reads, and those that list the people who run the shop. Registrations wait while the table is
-- read, as in 002010; both indexes are nearly empty.
CREATE INDEX users_sessions_idx ON users (id) WHERE disabled_at IS NOT NULL OR tokens_valid_from IS NOT NULL;
CREATE INDEX users_staff_idx ON users (id) WHERE role <> 'user';
