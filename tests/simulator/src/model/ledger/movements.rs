//! Withdrawals of units: begun by operators, completed by the control loop.

use flashsale::{
    engine::movement,
    ids::SaleId,
    port::{MAX_PENDING_MOVEMENTS, Movement, MovementId, MovementMode, MovementState},
};

use super::{ModelLedger, Tables};

impl ModelLedger {
    /// Notes a withdrawal as PENDING. `None` if there is no such sale, or too many are PENDING.
    pub fn begin_withdrawal(
        &self,
        sale: SaleId,
        units: u32,
        mode: MovementMode,
    ) -> Option<Movement> {
        let movement = Movement {
            id: MovementId(self.clock.new_id()),
            sale,
            mode,
            requested: units,
            applied: 0,
            state: MovementState::Pending,
            requested_at: self.clock.now(),
        };
        let mut tables = self.tables();
        let is_full = tables.pending_movements(&[sale]).len() >= MAX_PENDING_MOVEMENTS;
        if is_full || units == 0 || !tables.sales.contains_key(&sale) {
            return None;
        }
        tables.movements.insert(movement.id, movement);
        Some(movement)
    }

    /// The withdrawals of a sale, in the order of their ids.
    #[must_use]
    pub fn withdrawals(&self, sale: SaleId) -> Vec<Movement> {
        let tables = self.tables();
        let of_sale = tables.movements.values().filter(|row| row.sale == sale);
        of_sale.copied().collect()
    }
}

impl Tables {
    pub(super) fn pending_movements(&self, sales: &[SaleId]) -> Vec<Movement> {
        let is_asked =
            |row: &&Movement| row.state == MovementState::Pending && sales.contains(&row.sale);
        let mut pending: Vec<_> = self.movements.values().filter(is_asked).copied().collect();
        pending.sort_by_key(|row| (row.requested_at, row.id));
        pending
    }

    pub(super) fn close_withdrawal(&mut self, id: MovementId, taken: u32) -> Option<Movement> {
        let row = self.movements.get_mut(&id)?;
        if row.state != MovementState::Pending {
            return Some(*row);
        }
        let sale = self.sales.get_mut(&row.sale);
        let remaining = sale.as_ref().map_or(0, |sale| sale.remaining_stock);
        *row = movement::closed(row, taken, remaining);
        if let Some(sale) = sale
            && row.applied > 0
        {
            sale.initial_stock -= u64::from(row.applied);
            sale.remaining_stock -= u64::from(row.applied);
            sale.version += 1;
        }
        Some(*row)
    }
}
