use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn config(dir: &TempDir) -> SpoolConfig {
    SpoolConfig {
        dir: dir.path().join("spool"),
        max_bytes: 1 << 20,
        max_age: Duration::from_secs(3600),
        is_durable: true,
    }
}

fn open(config: &SpoolConfig) -> Spool {
    Spool::open(config.clone(), &"attic".parse().unwrap()).unwrap()
}

/// A request with a batch of so many lost packets, and padding.
fn message(epoch: u64, seq: u64, frames: u64, padding: usize) -> Vec<u8> {
    let batch = v1::Batch {
        collector: "attic".into(),
        epoch,
        seq,
        frames,
        undecoded: vec![v1::UndecodedCount { reason: 1, frames }],
        source: Some(v1::ReplaySource { name: "x".repeat(padding), ..Default::default() }),
        ..Default::default()
    };
    v1::PushRequest { kind: Some(v1::push_request::Kind::Batch(batch)) }.encode_to_vec()
}

fn put(spool: &mut Spool, (epoch, seq): Key, sealed_at_secs: i64, padding: usize) {
    let header = Header { epoch, seq, sealed_at_ns: sealed_at_secs * 1_000_000_000, frames: 10 };
    spool.put((epoch, seq), header, &message(epoch, seq, 10, padding)).unwrap();
}

const NOW: i64 = 1_800_000_000;

fn files(spool: &Spool, folder: &str) -> usize {
    fs::read_dir(spool.dir().join(folder)).map_or(0, Iterator::count)
}

#[test]
fn what_was_put_in_is_there_after_a_restart_in_order_until_it_is_removed() {
    let dir = TempDir::new().unwrap();
    let config = config(&dir);
    let mut spool = open(&config);
    for key in [(7, 2), (7, 1), (3, 9)] {
        put(&mut spool, key, NOW, 0);
    }
    // A crash leaves half a file.
    fs::write(spool.dir().join("0000000000000007-0000000000000003.unfinished"), b"half").unwrap();
    drop(spool);

    let mut spool = open(&config);
    assert_eq!((spool.level().batches, spool.epochs_but(7)), (3, vec![3]));
    let loaded: Vec<_> = std::iter::from_fn(|| spool.load_next(7)).collect();
    assert_eq!(loaded.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(loaded[0].1, message(7, 1, 10, 0));
    assert!(!spool.has_more(7) && spool.has_more(3));
    assert!(spool.remove((7, 1)) && !spool.remove((7, 1)));
    assert_eq!((spool.remove_through(7, 5), spool.remove_through(3, 8), spool.level().batches), (1, 0, 1));
    drop(spool);
    assert_eq!(open(&config).level().batches, 1);
}

#[test]
fn a_folder_is_one_collectors() {
    let dir = TempDir::new().unwrap();
    let config = config(&dir);
    let spool = open(&config);
    let again = Spool::open(config.clone(), &"attic".parse().unwrap());
    assert!(matches!(again, Err(SpoolError::Locked { .. })), "{again:?}");
    drop(spool);
    let other = Spool::open(config.clone(), &"cellar".parse().unwrap()).unwrap_err().to_string();
    assert!(other.contains("--name attic"), "{other}");
    assert_eq!(open(&config).level(), Level::default());
}

#[test]
fn the_oldest_are_given_up_and_counted_but_not_those_on_their_way() {
    let dir = TempDir::new().unwrap();
    let mut spool = open(&SpoolConfig { max_bytes: 5000, ..config(&dir) });
    put(&mut spool, (1, 1), NOW, 1000);
    assert!(spool.load_next(1).is_some());
    for seq in 2..=6 {
        put(&mut spool, (1, seq), NOW, 1000);
    }
    // Of six of some 1,100 octets, one is on its way; four of the rest fit.
    assert_eq!(spool.load_next(1).map(|(seq, _)| seq), Some(4));
    assert_eq!(spool.take_losses(), BTreeMap::from([(LossStage::Spool, 20)]));
    assert!(spool.level().bytes <= 5000 && !spool.has_losses());
}

#[test]
fn batches_grow_too_old_by_a_clock_that_is_set() {
    let dir = TempDir::new().unwrap();
    let mut spool = open(&config(&dir));
    put(&mut spool, (1, 1), 100, 0);
    put(&mut spool, (2, 1), NOW, 0);
    put(&mut spool, (2, 2), NOW + 3000, 0);
    assert_eq!(spool.level().batches, 3);
    // The first was sealed before the clock was set: nobody knows how old it is; it stands before the second.
    put(&mut spool, (2, 3), NOW + 4000, 0);
    assert_eq!(spool.level().batches, 4);
    assert_eq!(spool.remove_through(1, 1), 1);
    put(&mut spool, (2, 4), NOW + 4001, 0);
    assert_eq!((spool.level().batches, spool.take_losses()), (3, BTreeMap::from([(LossStage::Spool, 10)])));
}

#[test]
fn damaged_files_are_set_aside_and_counted() {
    let dir = TempDir::new().unwrap();
    let config = config(&dir);
    let mut spool = open(&config);
    for seq in 1..=4 {
        put(&mut spool, (1, seq), NOW, 100);
    }
    let path = |seq| config.dir.join(file_name(1, seq));
    let changed = |seq, change: &dyn Fn(&mut Vec<u8>)| {
        let mut octets = fs::read(path(seq)).unwrap();
        change(&mut octets);
        fs::write(path(seq), octets).unwrap();
    };
    // While it runs: the message of the first, and all of the second.
    changed(1, &|octets| *octets.last_mut().unwrap() ^= 1);
    fs::remove_file(path(2)).unwrap();
    assert_eq!(spool.load_next(1).map(|(seq, _)| seq), Some(3));
    assert_eq!((spool.take_losses(), files(&spool, DAMAGED)), (BTreeMap::from([(LossStage::Spool, 20)]), 1));
    drop(spool);
    // Before it starts.
    changed(3, &|octets| octets.truncate(80));
    fs::rename(path(4), path(5)).unwrap();
    for (name, octets) in
        [("empty.batch", &b""[..]), ("text.batch", b"not a batch, but long enough for a header of one, or so")]
    {
        fs::write(config.dir.join(name), octets).unwrap();
    }
    let mut spool = open(&config);
    assert_eq!((spool.level().batches, files(&spool, DAMAGED)), (0, 5));
    // Of the one that was cut the header tells how many; of foreign files nothing does.
    assert_eq!(spool.take_losses(), BTreeMap::from([(LossStage::Spool, 20)]));
    assert!(spool.load_next(1).is_none());
}

#[test]
fn refused_batches_are_kept_for_somebody_to_look_at_up_to_a_number() {
    let dir = TempDir::new().unwrap();
    let mut spool = open(&config(&dir));
    for seq in 1..=MAX_SET_ASIDE as u64 + 3 {
        put(&mut spool, (1, seq), NOW, 0);
        spool.reject((1, seq));
    }
    assert_eq!((spool.level().batches, spool.level().bytes), (0, 0));
    assert_eq!(files(&spool, REJECTED), MAX_SET_ASIDE);
}

#[test]
fn a_folder_that_takes_nothing_is_a_state_and_ends() {
    let dir = TempDir::new().unwrap();
    let config = config(&dir);
    let mut spool = open(&config);
    let away = dir.path().join("away");
    fs::rename(&config.dir, &away).unwrap();
    // Where nothing is the folder would be made again.
    fs::write(&config.dir, b"in the way").unwrap();
    let header = Header { epoch: 1, seq: 1, sealed_at_ns: 0, frames: 10 };
    assert!(spool.put((1, 1), header, b"x").is_err());
    assert!(spool.level().is_degraded && !spool.is_worth_trying() && !spool.has_room());
    fs::remove_file(&config.dir).unwrap();
    fs::rename(&away, &config.dir).unwrap();
    put(&mut spool, (1, 2), NOW, 0);
    assert!(!spool.level().is_degraded && spool.has_room());
}

#[test]
fn a_folder_that_was_removed_is_made_again_and_locked() {
    let dir = TempDir::new().unwrap();
    let config = config(&dir);
    let mut spool = open(&config);
    fs::remove_dir_all(&config.dir).unwrap();
    put(&mut spool, (1, 1), NOW, 0);
    assert!(matches!(Spool::open(config.clone(), &"attic".parse().unwrap()), Err(SpoolError::Locked { .. })));
    assert_eq!(spool.level().batches, 1);
    assert!(spool.load_next(1).is_some());
}

proptest! {
    /// Whatever octets a file has, it is a whole batch or none.
    #[test]
    fn files_are_whole_or_damaged(
        octets in proptest::collection::vec(any::<u8>(), 0..200),
        at in 0..300_usize,
        bit in 0..8,
        cut in 0..300_usize,
    ) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file.batch");
        let header = Header { epoch: 1, seq: 2, sealed_at_ns: 3, frames: 4 };
        let mut whole = header.encode(&octets);
        whole.extend_from_slice(&octets);
        fs::write(&path, &whole).unwrap();
        prop_assert_eq!(read_file(&path).unwrap(), (header, octets.clone()));
        prop_assert_eq!(Header::read(&path).unwrap(), header);

        let mut changed = whole.clone();
        if let Some(octet) = changed.get_mut(at) {
            *octet ^= 1_u8 << bit;
            fs::write(&path, &changed).unwrap();
            prop_assert!(read_file(&path).is_err());
        }
        if cut < whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            prop_assert!(read_file(&path).is_err() && Header::read(&path).is_err());
        }
        fs::write(&path, &octets).unwrap();
        prop_assert!(read_file(&path).is_err());
    }
}
