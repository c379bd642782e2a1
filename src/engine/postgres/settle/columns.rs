//! Rows as columns, which one statement takes as arrays.

/// One column of rows to be unnested.
pub(super) fn column<R, T>(rows: &[R], cell: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(cell).collect()
}
