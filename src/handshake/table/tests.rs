use super::*;
use crate::packet::{Endpoint, Span};

#[test]
fn an_entry_that_was_collected_and_put_off_comes_again_in_time() {
    let mut table = Table::new();
    let mut due = Vec::new();
    table.collect_due(secs(0), &mut due);
    let at = table.insert(new(1, key(1), 1), ()).unwrap();
    // The wheel comes by long after the deadline, as after a pause without packets.
    table.collect_due(secs(5), &mut due);
    assert_eq!(due, [at]);
    table.set_due(at, secs(6));
    due.clear();
    table.collect_due(secs(5), &mut due);
    assert_eq!(due, []);
    table.collect_due(secs(7), &mut due);
    assert_eq!(due, [at], "not a whole turn of the wheel later");
}

fn key(port: u16) -> FlowKey {
    FlowKey::new(Endpoint::v4([10, 0, 0, 1], port), Endpoint::v4([10, 0, 0, 2], 80)).0
}

fn new(hash: u64, key: FlowKey, secs_until_due: i64) -> NewEntry {
    let due = secs(secs_until_due);
    NewEntry { place: Place::Unknown, hash, key, due, soon: due, order: 0 }
}

fn secs(secs: i64) -> Timestamp {
    Timestamp::from_nanos(0).plus(Span::from_secs(secs))
}

fn take_due(table: &mut Table<u16>, now: Timestamp) -> Vec<u16> {
    let mut due = Vec::new();
    table.collect_due(now, &mut due);
    let mut values: Vec<u16> = due.iter().filter_map(|&at| table.get(at).copied()).collect();
    due.into_iter().for_each(|at| table.remove(at));
    values.sort_unstable();
    values
}

#[test]
fn entries_fall_due_once_and_deadlines_move_both_ways() {
    let mut table = Table::new();
    assert!(take_due(&mut table, secs(0)).is_empty());
    for port in 1..=4 {
        table.insert(new(u64::from(port) << 32, key(port), i64::from(port) * 10), port).unwrap();
    }
    let two = entry(&mut table, 2);
    table.set_due(two, secs(500));
    let four = entry(&mut table, 4);
    table.set_due(four, secs(11));
    assert_eq!(take_due(&mut table, secs(12)), [1, 4]);
    assert_eq!(take_due(&mut table, secs(40)), [3]);
    assert!(take_due(&mut table, secs(500)).is_empty(), "a packet at the deadline is in time");
    assert_eq!(take_due(&mut table, secs(501)), [2]);
    assert_eq!(table.aged(), 0);
}

#[test]
fn the_first_turn_finds_what_is_due_already() {
    let mut table = Table::new();
    table.insert(new(1, key(1), 5), 1).unwrap();
    table.insert(new(2, key(2), 90), 2).unwrap();
    assert_eq!(take_due(&mut table, secs(60)), [1]);
    assert_eq!(take_due(&mut table, secs(91)), [2]);
}

#[test]
fn what_was_due_and_is_put_off_falls_due_again() {
    let mut table = Table::new();
    take_due(&mut table, secs(0));
    table.insert(new(1, key(1), 10), 1).unwrap();
    let mut due = Vec::new();
    table.collect_due(secs(12), &mut due);
    let [at] = due[..] else { panic!("{due:?}") };
    table.set_due(at, secs(13));
    assert_eq!(take_due(&mut table, secs(14)), [1]);
}

#[test]
fn a_jump_of_many_turns_finds_everything() {
    let mut table = Table::new();
    take_due(&mut table, secs(0));
    for port in 1..=300 {
        table.insert(new(u64::from(port) << 32, key(port), i64::from(port)), port).unwrap();
    }
    assert_eq!(take_due(&mut table, secs(1_000_000)).len(), 300);
}

#[test]
fn age_is_order_of_insertion_whatever_is_removed() {
    let mut table = Table::new();
    for port in 1..=5 {
        table.insert(new(u64::from(port) << 32, key(port), 9), port).unwrap();
    }
    let (_, first) = table.by_age(0).next().unwrap();
    table.remove(first);
    let three = entry(&mut table, 3);
    table.forget_age(three);
    let order = |table: &Table<u16>, class| -> Vec<u16> {
        table.by_age(class).map(|(_, at)| *table.get(at).unwrap()).collect()
    };
    assert_eq!(order(&table, 0), [2, 4, 5]);
    assert_eq!(table.aged(), 3);
    let four = entry(&mut table, 4);
    table.reclassify(four, 2, 7);
    assert_eq!((order(&table, 0), order(&table, 2)), (vec![2, 5], vec![4]));
    assert_eq!(table.by_age(2).next(), Some((7, four)));
    table.remove(four);
    assert_eq!((table.aged(), order(&table, 2)), (2, vec![]));
}

#[test]
fn two_flows_of_one_tag_are_both_found_until_one_is_only_remembered() {
    let mut table = Table::new();
    let (one, two) = (1 << 32 | 4, 1 << 32 | 8);
    let first = table.insert(new(one, key(1), 1), 1).unwrap();
    let second = table.insert(new(two, key(2), 1), 2).unwrap();
    assert_eq!(table.find(two, &key(2)), Place::Entry(second));
    table.remove(first);
    assert_eq!(table.get(first), None);
    assert_eq!(table.find(one, &key(1)), Place::Remembered);
    assert_eq!(table.find(two, &key(2)), Place::Entry(second));
    assert_eq!(table.index.young(), 1);
}

#[test]
fn the_order_of_age_survives_any_number_of_departures() {
    let mut table = Table::new();
    let stays = table.insert(new(0, key(0), 9), 0).unwrap();
    for n in 1..3 * SLACK as u64 {
        let at = table.insert(new(n << 32, key(n as u16), 9), n as u16).unwrap();
        table.remove(at);
    }
    let ages = table.ages[0].len();
    assert!(ages <= SLACK + 3, "{ages}");
    assert_eq!(table.by_age(0).collect::<Vec<_>>(), [(0, stays)]);
    assert_eq!(table.all_aged().collect::<Vec<_>>(), [stays]);
}

fn entry(table: &mut Table<u16>, port: u16) -> Position {
    match table.find(u64::from(port) << 32, &key(port)) {
        Place::Entry(at) => at,
        place @ (Place::Remembered | Place::Unknown) => panic!("{place:?}"),
    }
}
