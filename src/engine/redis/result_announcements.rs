//! Results of a sale as they are announced (`announcements`), and read for those who are told of them (`results`).

use async_trait::async_trait;

use super::{RedisGate, announcements, results};
use crate::{
    ids::{ProductId, SaleId, UserId},
    port::{AnnouncementStream, GateError, ResultAnnouncements, ResultReading},
};

#[async_trait]
impl ResultAnnouncements for RedisGate {
    fn groups(&self, sales: &[SaleId]) -> Vec<Vec<SaleId>> {
        announcements::groups(&self.connection, sales)
    }

    async fn announcements(&self, sales: &[SaleId]) -> Result<AnnouncementStream, GateError> {
        announcements::subscribe(&self.connection, sales).await
    }

    async fn results_in(
        &self,
        sale: SaleId,
        product: ProductId,
        users: &[UserId],
    ) -> Result<Vec<ResultReading>, GateError> {
        results::of_sale(&self.connection, self.ledger.tag(), sale, product, users).await
    }
}
