use super::{DefaultShard, GeoLocation, ShardManager, ShardSpec, ShardTableError, haversine};
use crate::ids::ShardId;
use crate::limits::SHARDS_MAX;

const LONDON: (f64, f64) = (51.5074, -0.1278);
const PARIS: (f64, f64) = (48.8566, 2.3522);

fn at((latitude, longitude): (f64, f64)) -> GeoLocation {
    GeoLocation::new(latitude, longitude).unwrap()
}

fn specs(shards: &[(u16, (f64, f64))]) -> Vec<ShardSpec> {
    shards
        .iter()
        .map(|&(id, place)| ShardSpec {
            id: ShardId(id),
            location: at(place),
        })
        .collect()
}

fn table(shards: &[(u16, (f64, f64))]) -> ShardManager {
    ShardManager::new(specs(shards), None).unwrap()
}

#[test]
fn distances_are_those_of_a_sphere_of_6371_km() {
    let quarter_km = 6371.0 * std::f64::consts::FRAC_PI_2;
    for (from, to, km) in [
        (LONDON, PARIS, 343.556),
        (LONDON, LONDON, 0.0),
        ((0.0, 0.0), (90.0, 17.0), quarter_km),
        ((0.0, 0.0), (0.0, -90.0), quarter_km),
        ((30.0, 40.0), (-30.0, -140.0), 2.0 * quarter_km),
        ((0.0, 179.5), (0.0, -179.5), quarter_km / 90.0),
    ] {
        let found = haversine(at(from), at(to));
        assert!((found - km).abs() < 1e-3, "{from:?} to {to:?}: {found}");
        assert_eq!(found, haversine(at(to), at(from)));
    }
}

#[test]
fn the_poles_and_the_antimeridian_are_one_place_each() {
    assert_eq!(haversine(at((90.0, 10.0)), at((90.0, -170.0))), 0.0);
    assert_eq!(haversine(at((12.0, 180.0)), at((12.0, -180.0))), 0.0);

    let pole = table(&[(5, (90.0, 0.0)), (2, (90.0, 120.0))]);
    let line = table(&[(5, (12.0, 180.0)), (2, (12.0, -180.0))]);
    for client in [(90.0, 0.0), (12.0, 180.0), (12.0, -180.0), (0.0, 60.0)] {
        assert_eq!(pole.determine_shard(at(client)), ShardId(2));
        assert_eq!(line.determine_shard(at(client)), ShardId(2));
    }
}

#[test]
fn equal_distances_go_to_the_smallest_id() {
    let mirrored = table(&[(9, (10.0, 5.0)), (4, (10.0, -5.0)), (7, (-10.0, 5.0))]);
    assert_eq!(mirrored.determine_shard(at((0.0, 0.0))), ShardId(4));
    assert_eq!(
        mirrored.by_distance(at((0.0, 0.0))),
        [ShardId(4), ShardId(7), ShardId(9)]
    );

    // A thousand shards at one place, in descending order.
    let crowd: Vec<_> = (0..1000).rev().map(|id| (id, LONDON)).collect();
    let crowd = table(&crowd);
    assert_eq!(crowd.determine_shard(at(LONDON)), ShardId(0));
    assert_eq!(crowd.determine_shard(at((-51.5, 179.9))), ShardId(0));
}

#[test]
fn failover_goes_from_near_to_far() {
    let shards = table(&[(0, (35.7, 139.7)), (1, LONDON), (2, PARIS)]);
    assert_eq!(
        shards.by_distance(at((50.9, -1.4))),
        [ShardId(1), ShardId(2), ShardId(0)]
    );
    let mut order = vec![ShardId(99); 17];
    shards.by_distance_into(at((40.4, -3.7)), &mut order);
    assert_eq!(order, [ShardId(2), ShardId(1), ShardId(0)]);
}

#[test]
fn far_from_every_shard_the_default_shard_serves() {
    let to_paris_km = haversine(at(LONDON), at(PARIS));
    let shards = |beyond_km| {
        let default = DefaultShard {
            shard: ShardId(8),
            beyond_km,
        };
        let specs = specs(&[(1, PARIS), (8, (35.7, 139.7))]);
        ShardManager::new(specs, Some(default)).unwrap()
    };
    let client = at(LONDON);
    // Exactly at the bound is not beyond it.
    assert_eq!(shards(to_paris_km).determine_shard(client), ShardId(1));
    let closer = shards(to_paris_km.next_down());
    assert_eq!(closer.determine_shard(client), ShardId(8));
    assert_eq!(closer.by_distance(client), [ShardId(8), ShardId(1)]);
    assert_eq!(shards(30_000.0).determine_shard(client), ShardId(1));
    assert_eq!(shards(0.0).determine_shard(at(PARIS)), ShardId(1));
}

#[test]
fn bad_tables_are_refused_with_the_reason() {
    let refused = |specs, default| ShardManager::new(specs, default).unwrap_err();
    let one = specs(&[(1, PARIS)]);
    let default = |shard, beyond_km| {
        Some(DefaultShard {
            shard: ShardId(shard),
            beyond_km,
        })
    };
    assert_eq!(refused(Vec::new(), None), ShardTableError::Empty);
    let many: Vec<_> = (0..=SHARDS_MAX as u16).map(|id| (id, PARIS)).collect();
    assert_eq!(
        refused(specs(&many), None),
        ShardTableError::TooMany { shards: 4097 }
    );
    assert_eq!(
        refused(specs(&[(3, PARIS), (1, PARIS), (3, LONDON)]), None),
        ShardTableError::DuplicateId { id: ShardId(3) }
    );
    assert_eq!(
        refused(one.clone(), default(2, 1.0)),
        ShardTableError::UnknownDefault { id: ShardId(2) }
    );
    for beyond_km in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(matches!(
            refused(one.clone(), default(1, beyond_km)),
            ShardTableError::BeyondKm { .. }
        ));
    }
    assert!(ShardManager::new(specs(&many[1..]), None).is_ok());
}
