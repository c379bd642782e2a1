//! The tables as diesel sees them; `migrations/sqlite` is what makes them. Nothing else.

#![allow(missing_docs)]

diesel::table! {
    users (id) {
        id -> BigInt,
        username -> Text,
        email -> Text,
        password_hash -> Text,
        full_name -> Nullable<Text>,
        role -> Text,
        created_at -> BigInt,
        username_key -> Nullable<Text>,
        email_key -> Nullable<Text>,
        disabled_at -> Nullable<BigInt>,
        tokens_valid_from -> Nullable<BigInt>,
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
        created_at -> BigInt,
        updated_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    flash_sales (id) {
        id -> BigInt,
        product_id -> BigInt,
        start_time -> BigInt,
        end_time -> BigInt,
        initial_stock -> BigInt,
        remaining_stock -> BigInt,
        version -> BigInt,
        admitted_from -> Nullable<BigInt>,
        admitted_until -> Nullable<BigInt>,
        attempts_removed_until -> Nullable<BigInt>,
        state -> Text,
        paused_at -> Nullable<BigInt>,
        note -> Text,
        created_at -> BigInt,
        updated_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    orders (flash_sale_id, user_id) {
        flash_sale_id -> BigInt,
        user_id -> BigInt,
        product_id -> BigInt,
        status -> Text,
        attempt_id -> Binary,
        created_at -> BigInt,
    }
}

diesel::table! {
    purchase_attempts (attempt_id) {
        attempt_id -> Binary,
        flash_sale_id -> BigInt,
        user_id -> BigInt,
        product_id -> BigInt,
        attempted_at -> BigInt,
        outcome -> Text,
        cause -> Nullable<Text>,
        settled_at -> BigInt,
        log_offset -> Nullable<BigInt>,
    }
}

diesel::table! {
    attempt_log (log_offset) {
        log_offset -> BigInt,
        record -> Binary,
        appended_at -> BigInt,
    }
}

diesel::table! {
    dead_letters (partition, log_offset) {
        partition -> Integer,
        log_offset -> BigInt,
        cause -> Text,
        record_key -> Nullable<Binary>,
        record -> Nullable<Binary>,
        buried_at -> BigInt,
    }
}

diesel::table! {
    dead_letter_decisions (id) {
        id -> BigInt,
        topic -> Text,
        partition -> Integer,
        letter_offset -> BigInt,
        buried_at -> BigInt,
        decision -> Text,
        attempt_id -> Nullable<Binary>,
        reason -> Nullable<Text>,
        decided_by -> Text,
        decided_at -> BigInt,
    }
}

diesel::table! {
    results (user_id, product_id) {
        user_id -> BigInt,
        product_id -> BigInt,
        flash_sale_id -> BigInt,
        result -> Text,
        expires_at -> BigInt,
    }
}

diesel::table! {
    consumer_partitions (group_name, topic, partition) {
        group_name -> Text,
        topic -> Text,
        partition -> Integer,
        next_offset -> BigInt,
        last_attempt_id -> Nullable<Binary>,
        owner -> Nullable<Text>,
        lease_expires_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    consumer_members (group_name, topic, member_id) {
        group_name -> Text,
        topic -> Text,
        member_id -> Text,
        expires_at -> BigInt,
    }
}

diesel::joinable!(flash_sales -> products (product_id));
diesel::allow_tables_to_appear_in_same_query!(
    users,
    products,
    flash_sales,
    orders,
    purchase_attempts,
    attempt_log,
    dead_letters,
    results,
    consumer_partitions,
    consumer_members,
);

diesel::table! {
    ledger_identity (is_only_row) {
        is_only_row -> BigInt,
        ledger_id -> Binary,
        created_at -> BigInt,
    }
}

diesel::table! {
    account_changes (id) {
        id -> BigInt,
        user_id -> BigInt,
        kind -> Text,
    }
}

diesel::table! {
    password_resets (user_id) {
        user_id -> BigInt,
        token_hash -> Binary,
        expires_at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(users, account_changes);

diesel::table! {
    service_credentials (user_id) {
        user_id -> BigInt,
        scopes -> Text,
        secret_hash -> Binary,
        changed_at -> BigInt,
    }
}

diesel::table! {
    external_identities (issuer, subject) {
        issuer -> Text,
        subject -> Text,
        user_id -> BigInt,
        created_at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(external_identities, users);
diesel::allow_tables_to_appear_in_same_query!(service_credentials, users);
