//! A database as the original service leaves it: its tables, written anew from what is known of them, and a shop's rows.

use crate::support::postgres::TestDatabase;

const SCHEMA: &str = "
    CREATE TABLE migrations (id SERIAL PRIMARY KEY, name VARCHAR(255) UNIQUE NOT NULL, executed_at TIMESTAMPTZ DEFAULT now());
    INSERT INTO migrations (name) VALUES ('001_create_orders_table'), ('002_create_products_table'), ('007_seed_data');
    CREATE TABLE users (
        id BIGSERIAL PRIMARY KEY, username TEXT NOT NULL UNIQUE, email TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL,
        full_name TEXT, created_at TIMESTAMPTZ NOT NULL DEFAULT now(), updated_at TIMESTAMPTZ NOT NULL DEFAULT now());
    CREATE TABLE products (
        id BIGSERIAL PRIMARY KEY, sku TEXT NOT NULL UNIQUE, name TEXT NOT NULL, description TEXT,
        created_at TIMESTAMPTZ NOT NULL DEFAULT now());
    CREATE TABLE flash_sales (
        id BIGSERIAL PRIMARY KEY, product_id BIGINT NOT NULL REFERENCES products (id) ON DELETE CASCADE,
        start_at TIMESTAMPTZ NOT NULL, end_at TIMESTAMPTZ NOT NULL, initial_stock BIGINT NOT NULL CHECK (initial_stock >= 0),
        remaining_stock BIGINT NOT NULL CHECK (remaining_stock >= 0), metadata JSONB,
        created_at TIMESTAMPTZ NOT NULL DEFAULT now(), updated_at TIMESTAMPTZ NOT NULL DEFAULT now());
    CREATE TYPE order_status_t AS ENUM ('PENDING', 'SUCCESS', 'FAILED');
    CREATE TABLE orders (
        id BIGSERIAL PRIMARY KEY, order_uuid UUID NOT NULL DEFAULT gen_random_uuid(),
        sale_id BIGINT NOT NULL REFERENCES flash_sales (id) ON DELETE CASCADE,
        product_id BIGINT NOT NULL REFERENCES products (id) ON DELETE CASCADE, user_id BIGINT NOT NULL,
        status order_status_t NOT NULL DEFAULT 'PENDING', attempt_id UUID, reserved_at TIMESTAMPTZ NOT NULL DEFAULT now(),
        processed_at TIMESTAMPTZ, metadata JSONB, created_at TIMESTAMPTZ NOT NULL DEFAULT now(), UNIQUE (sale_id, user_id));
    CREATE TABLE purchase_attempts (
        id BIGSERIAL PRIMARY KEY, attempt_uuid UUID NOT NULL DEFAULT gen_random_uuid(),
        sale_id BIGINT NOT NULL REFERENCES flash_sales (id) ON DELETE CASCADE, user_id BIGINT NOT NULL, attempt_payload JSONB,
        created_at TIMESTAMPTZ NOT NULL DEFAULT now())";

/// A shop with an open sale (1, product 1, six units), whose start was moved to after its first orders, and two that are over (2 and 3, product 2) and overlap.
const ROWS: &str = "
    INSERT INTO products (sku, name, description) VALUES ('FLASH-001', 'Premium Smartphone', 'Latest'), ('FLASH-002', 'Watch', NULL);
    INSERT INTO flash_sales (product_id, start_at, end_at, initial_stock, remaining_stock, metadata) VALUES
        (1, now() - interval '10 minutes', now() + interval '1 day', 6, 6, '{\"note\": \"x\"}'),
        (2, now() - interval '3 days', now() - interval '2 days', 1, 1, NULL),
        (2, now() - interval '60 hours', now() - interval '1 day', 9, 9, NULL);
    INSERT INTO orders (sale_id, product_id, user_id, status, processed_at) VALUES
        (1, 1, 2, 'SUCCESS', now()), (1, 1, 8, 'FAILED', now()), (1, 1, 99, 'SUCCESS', now()), (1, 2, 4, 'SUCCESS', now()),
        (2, 2, 3, 'SUCCESS', now()), (2, 2, 4, 'SUCCESS', now()), (3, 2, 3, 'PENDING', NULL);
    INSERT INTO purchase_attempts (sale_id, user_id, attempt_payload) VALUES (1, 2, '{\"userId\": \"2\"}')";

/// The accounts, from id 1 on: their names and passwords. `nobody` has no hash that a login could be compared with.
pub const USERS: &[(&str, &str, &str)] = &[
    ("admin", "admin@example.com", "admin123"),
    ("joe@shop.com", "joe@shop.com", "joe's password"),
    ("ab", "ab@example.com", "x"),
    ("Ada", "ada@example.com", "ada password"),
    ("ADA", "ada2@example.com", "ADA password"),
    ("Müller", "MÜLLER@example.com", "müller password"),
    ("müller", "müller@example.com", "other password"),
    ("Lo Ser", "loser@example.com", "loser password"),
    ("waiting", "waiting@example.com", "waiting password"),
    ("nobody", "nobody@example.com", ""),
];

/// Its tables and nothing in them.
pub async fn empty() -> TestDatabase {
    let database = TestDatabase::empty().await;
    database.client().await.batch_execute(SCHEMA).await.unwrap();
    database
}

/// A shop that has to be looked at before it can move.
pub async fn shop() -> TestDatabase {
    let database = empty().await;
    let client = database.client().await;
    for (username, email, password) in USERS {
        let hash = if password.is_empty() {
            "none".to_owned()
        } else {
            bcrypt::hash(password, 5).unwrap()
        };
        client
            .execute(
                "INSERT INTO users (username, email, password_hash, created_at) VALUES ($1, $2, $3, now() - interval '10 days')",
                &[username, email, &hash],
            )
            .await
            .unwrap();
    }
    client.batch_execute(ROWS).await.unwrap();
    database
}

/// What is in all its tables.
pub async fn contents(database: &TestDatabase) -> String {
    let tables = [
        "users",
        "products",
        "flash_sales",
        "orders",
        "purchase_attempts",
    ];
    let mut all = String::new();
    for table in tables {
        let query =
            format!("SELECT coalesce(string_agg(t::text, ';' ORDER BY id), '') FROM {table} t");
        all += database.query(&query).await[0].get::<_, &str>(0);
    }
    all
}
