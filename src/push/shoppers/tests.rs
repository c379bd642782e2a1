//! What listeners are told by announcements and readings, in whichever order they come.

use super::*;

const PENDING: ResultReading = ResultReading::Is(ShopperResult::Pending);

fn ids() -> (UserId, SaleId, ProductId) {
    let (user, sale) = (UserId::new(1).unwrap(), SaleId::new(2).unwrap());
    (user, sale, ProductId::new(3).unwrap())
}

fn told(listener: &ResultListener) -> Option<ShopperResult> {
    let (_, sale, _) = ids();
    let state = listener.state.borrow();
    state.results.get(&sale).map(|told| told.result)
}

#[test]
fn a_reading_does_not_overwrite_an_announcement_that_came_after_it_began() {
    let (user, sale, product) = ids();
    let shoppers = Arc::new(Shoppers::default());
    let listener = shoppers.enter(user).unwrap();
    let (taken, reading) = shoppers.take_unread(10, |_| true).unwrap();
    assert_eq!(taken, Reading::OfAllSales(vec![user]));
    shoppers.ordered(user, sale, product);
    let before = listener.state.borrow().number;
    shoppers.apply(user, reading, true, [(sale, product, PENDING)].into_iter());
    assert_eq!(told(&listener), Some(ShopperResult::Success));
    assert!(listener.is_read(&listener.state.borrow()));
    assert!(listener.state.borrow().number > before);
    let second = shoppers.enter(user).unwrap();
    assert!(!second.is_read(&second.state.borrow()));

    shoppers.read_again([sale]);
    let (_, reading) = shoppers.take_unread(10, |_| true).unwrap();
    let nothing = (sale, product, ResultReading::Nothing);
    shoppers.apply(user, reading, false, [nothing].into_iter());
    assert_eq!(told(&listener), None, "the order has ended");
    assert!(!second.is_read(&second.state.borrow()));
}

#[test]
fn a_sale_is_certain_only_while_it_is_known_who_holds_its_units() {
    let (user, sale, product) = ids();
    let shoppers = Arc::new(Shoppers::default());
    let listener = shoppers.enter(user).unwrap();
    let read = |found| {
        shoppers.read_again([sale]);
        let (_, reading) = shoppers.take_unread(10, |_| true).unwrap();
        shoppers.apply(user, reading, false, [(sale, product, found)].into_iter());
        listener.state.borrow().certain.contains(&sale)
    };
    assert!(!read(ResultReading::Unknown));
    assert!(read(ResultReading::Nothing));
    assert!(read(PENDING));
    assert!(!read(ResultReading::Unknown));
    assert_eq!(told(&listener), Some(ShopperResult::Pending), "it stays");
}

#[test]
fn a_sale_in_doubt_is_read_once_it_answers_again() {
    let (user, sale, _) = ids();
    let shoppers = Arc::new(Shoppers::default());
    let _listener = shoppers.enter(user).unwrap();
    let _ = shoppers.take_unread(10, |_| true);
    assert!(!shoppers.set_doubt(sale, Some(Doubt::Unanswered)));
    assert!(shoppers.mark_unread(sale, user));
    assert_eq!(shoppers.take_unread(10, |_| true), None);
    assert_eq!(shoppers.doubtful(), [(sale, Some(user))]);
    assert!(shoppers.set_doubt(sale, Some(Doubt::Unsure)), "it answers");
    assert!(!shoppers.set_doubt(sale, Some(Doubt::Unsure)));
    assert!(shoppers.set_doubt(sale, None));
    assert!(!shoppers.set_doubt(sale, None));
}

#[test]
fn a_shopper_has_ten_streams_and_is_forgotten_after_the_last() {
    let (user, sale, _) = ids();
    let shoppers = Arc::new(Shoppers::default());
    let mut listeners: Vec<_> = (0..10).map(|_| shoppers.enter(user).unwrap()).collect();
    assert_eq!(shoppers.enter(user).err(), Some(NotLetIn::TooManyStreams));
    let readings: Vec<_> = (0..10)
        .map(|_| shoppers.enter_once(user).unwrap())
        .collect();
    assert!(shoppers.enter_once(user).is_err());
    drop(readings);
    listeners.pop();
    assert!(shoppers.enter(user).is_ok());
    shoppers.set_doubt(sale, Some(Doubt::Unsure));
    drop(listeners);
    assert!(shoppers.is_empty());
    assert!(!shoppers.mark_unread(sale, user));
    assert_eq!(shoppers.take_unread(10, |_| true), None);
    assert_eq!(shoppers.doubtful(), []);
}

#[test]
fn all_are_read_again_once_a_round_in_equal_shares() {
    let sale = ids().1;
    let shoppers = Arc::new(Shoppers::default());
    let _listeners: Vec<_> = (1..=30)
        .map(|user| shoppers.enter(UserId::new(user).unwrap()).unwrap())
        .collect();
    while shoppers.take_unread(100, |_| true).is_some() {}
    let mut read = BTreeSet::new();
    for step in 1..=12 {
        shoppers.read_share_again(12, &[sale]);
        while let Some((Reading::OfSale(_, users), _)) = shoppers.take_unread(100, |_| true) {
            assert!(users.len() <= 3, "{users:?}");
            read.extend(users);
        }
        assert_eq!(read.len(), 30 * step / 12);
    }
}

#[test]
fn streams_end_when_the_process_drains_and_readings_go_on() {
    let (user, _, _) = ids();
    let shoppers = Arc::new(Shoppers::default());
    let before = shoppers.enter(user).unwrap();
    shoppers.close();
    assert!(before.state.has_changed().is_err());
    assert_eq!(shoppers.enter(user).err(), Some(NotLetIn::Draining));
    let once = shoppers.enter_once(user).unwrap();
    assert!(once.state.has_changed().is_ok());
    assert!(shoppers.take_unread(10, |_| true).is_some());
}
