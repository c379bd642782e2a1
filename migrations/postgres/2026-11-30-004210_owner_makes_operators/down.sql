DROP TRIGGER users_insert_checks_maker ON users;
DROP FUNCTION users_check_maker();
