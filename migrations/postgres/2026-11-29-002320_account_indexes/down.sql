DROP INDEX users_staff_idx;
DROP INDEX users_sessions_idx;
