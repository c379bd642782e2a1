DROP TABLE admin_actions_head;
DROP TABLE admin_actions;
DROP FUNCTION admin_actions_stay();
