//! The tables as diesel sees them; `migrations/` is what makes them. Nothing else.

#![allow(missing_docs)]

diesel::table! {
    users (id) {
        id -> BigInt,
        username -> Text,
        email -> Text,
        password_hash -> Text,
        full_name -> Nullable<Text>,
        role -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        username_key -> Nullable<Text>,
        email_key -> Nullable<Text>,
        disabled_at -> Nullable<Timestamptz>,
        tokens_valid_from -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    products (id) {
        id -> BigInt,
        sku -> Text,
        name -> Text,
        description -> Text,
        price_cents -> BigInt,
        image_url -> Nullable<Text>,
        currency -> Text,
        prior_price_cents -> Nullable<BigInt>,
        version -> BigInt,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    flash_sales (id) {
        id -> BigInt,
        product_id -> BigInt,
        start_time -> Timestamptz,
        end_time -> Timestamptz,
        initial_stock -> Integer,
        remaining_stock -> Integer,
        version -> BigInt,
        state -> Text,
        paused_at -> Nullable<Timestamptz>,
        note -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    consumer_partitions (group_name, topic, partition) {
        group_name -> Text,
        topic -> Text,
        partition -> Integer,
        next_offset -> BigInt,
        last_attempt_id -> Nullable<Uuid>,
        owner -> Nullable<Text>,
        lease_expires_at -> Nullable<Timestamptz>,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    consumer_members (group_name, topic, member_id) {
        group_name -> Text,
        topic -> Text,
        member_id -> Text,
        expires_at -> Timestamptz,
    }
}

diesel::joinable!(flash_sales -> products (product_id));
diesel::allow_tables_to_appear_in_same_query!(flash_sales, products);

diesel::table! {
    ledger_identity (is_only_row) {
        is_only_row -> Bool,
        ledger_id -> Uuid,
        created_at -> Timestamptz,
    }
}
