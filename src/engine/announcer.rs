//! Announcements of results within one process, for gates that are part of it.

use futures::{StreamExt, stream};
use tokio::sync::broadcast;

use crate::{
    ids::{SaleId, UserId},
    port::{Announcement, AnnouncementStream, News, ResultEntry},
};

/// Maximum number of announcements that wait for a reader. The stream of a reader that has missed some ends.
const WAITING: usize = 1024;

/// Sends announcements to the readers who follow sales. It costs nothing while there is no reader.
pub struct Announcer(broadcast::Sender<Announcement>);

impl Default for Announcer {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }
}

impl Announcer {
    /// Announces that results of these shoppers may have changed. `ordered` says of a shopper whether an order stands.
    pub fn tell<I: Iterator<Item = UserId>>(
        &self,
        sale: SaleId,
        users: impl FnOnce() -> I,
        ordered: impl Fn(UserId) -> bool,
    ) {
        let Self(sender) = self;
        if sender.receiver_count() == 0 {
            return;
        }
        let news = users().map(|user| {
            let news = if ordered(user) {
                News::Ordered
            } else {
                News::Changed
            };
            (user, news)
        });
        let news = news.collect();
        // Sending fails if the last reader has gone meanwhile.
        let _ = sender.send(Announcement { sale, news });
    }

    /// Announces that these results were written.
    pub fn tell_written(&self, results: &[ResultEntry]) {
        for of_sale in results.chunk_by(|a, b| a.sale == b.sale) {
            if let Some(ResultEntry { sale, .. }) = of_sale.first() {
                self.tell(*sale, || of_sale.iter().map(|entry| entry.user), |_| false);
            }
        }
    }

    #[must_use]
    pub fn follow(&self, sales: &[SaleId]) -> AnnouncementStream {
        let (receiver, sales) = (self.0.subscribe(), sales.to_vec());
        stream::unfold((receiver, sales), |(mut receiver, sales)| async move {
            loop {
                // An error means that this process ends, or that announcements were missed.
                let announcement = receiver.recv().await.ok()?;
                if sales.contains(&announcement.sale) {
                    return Some((announcement, (receiver, sales)));
                }
            }
        })
        .boxed()
    }
}
