//! Rows that the database would refuse, and proposals that solve their problems.

use super::*;

fn user(id: i64, username: &str, email: &str) -> UserRow {
    let new = NewUserRowChange {
        id,
        username: username.to_owned(),
        email: email.to_owned(),
    };
    new.row(DateTime::UNIX_EPOCH)
}

fn sale(id: i64, start: i64, end: i64, initial_stock: i64) -> SaleRow {
    let at = |secs| DateTime::from_timestamp(secs, 0).unwrap();
    SaleRow {
        id,
        product_id: 1,
        start_time: at(start),
        end_time: at(end),
        initial_stock,
        remaining_stock: initial_stock,
        state: "LIVE".to_owned(),
        never_live: false,
        paused_at: None,
        note: String::new(),
        created_at: at(0),
    }
}

fn surveyed(
    changes: &Changes,
    users: &[UserRow],
    sales: &[(SaleRow, i64)],
) -> (Vec<String>, Changes) {
    let mut survey = Survey::new(changes);
    for row in users {
        let mut row = row.clone();
        changes.user(&mut row);
        survey.user(&row);
    }
    for (row, sold) in sales {
        let mut row = row.clone();
        changes.sale(&mut row);
        survey.sale(row, *sold);
    }
    survey.end()
}

/// The problems of these rows. The proposals must solve all of them.
fn problems(users: &[UserRow], sales: &[(SaleRow, i64)]) -> Vec<String> {
    let (problems, proposals) = surveyed(&Changes::default(), users, sales);
    let (left, _) = surveyed(&proposals, users, sales);
    assert_eq!(left, Vec::<String>::new(), "{proposals:?}");
    problems
}

#[test]
fn names_with_the_same_key_are_reported_row_by_row_and_renamed() {
    let found = problems(
        &[
            user(1, "Joe", "joe@shop.com"),
            user(2, "joe", "JOE@shop.com"),
            user(3, "JOE", "joe+2@shop.com"),
            user(4, "joe-2", "Ä@x.y"),
            user(5, "other", "ä@x.y"),
        ],
        &[],
    );
    assert_eq!(
        found,
        [
            r#"user 2: the username "joe" is that of user 1, "Joe""#,
            r#"user 2: the email "JOE@shop.com" is that of user 1, "joe@shop.com""#,
            r#"user 3: the username "JOE" is that of user 1, "Joe""#,
            r#"user 5: the email "ä@x.y" is that of user 4, "Ä@x.y""#,
        ]
    );
}

#[test]
fn names_that_are_too_long_for_their_column_are_shortened() {
    let long = "x".repeat(256);
    let found = problems(
        &[
            user(1, "", ""),
            user(2, &long, &long),
            user(3, &long[1..], &long[1..]),
        ],
        &[],
    );
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(found[0], "user 1: the username is empty");
    assert_eq!(found[3], "user 2: the email has more than 255 characters");
}

#[test]
fn an_oversold_sale_gets_as_many_units_as_were_sold() {
    let found = problems(&[], &[(sale(1, 0, 10, 5), 7), (sale(2, 20, 30, 5), 5)]);
    assert_eq!(
        found,
        ["sale 1: 7 SUCCESS orders of 5 units: it was oversold"]
    );
    let found = problems(&[], &[(sale(1, 0, 10, i64::MAX), 0)]);
    assert!(found[0].contains("are more than 2147483647"), "{found:?}");
}

#[test]
fn overlapping_sales_of_a_product_are_separated() {
    let found = problems(
        &[],
        &[
            (sale(1, 0, 100, 1), 0),
            (sale(2, 50, 60, 1), 0),
            (sale(3, 50, 70, 1), 0),
            (sale(4, 55, 65, 1), 0),
            (sale(5, 200, 200, 1), 0),
            (sale(6, 300, 290, 1), 0),
            (sale(7, 301, 310, 1), 0),
        ],
    );
    assert!(found.len() >= 5, "{found:#?}");
    let touching = [(sale(1, 0, 100, 1), 0), (sale(2, 100, 200, 1), 0)];
    assert_eq!(problems(&[], &touching), Vec::<String>::new());
}

#[test]
fn an_account_that_orders_name_and_that_does_not_exist_is_proposed() {
    let mut survey = Survey::new(&Changes::default());
    survey.missing_user(99, &(1..=12).collect::<Vec<_>>());
    survey.missing_user(0, &[13]);
    let (problems, proposals) = survey.end();
    assert_eq!(
        problems,
        [
            "orders 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more: user 99 does not exist",
            "order 13: user 0 does not exist",
        ]
    );
    assert_eq!(proposals.new_users[&99].username, "user-99");
    assert!(proposals.orders[&13].skip);
}
