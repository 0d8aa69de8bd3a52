//! Guarantee: the shard table gives the answer of the plain rule (smallest haversine distance,
//! then smallest id), for every city of the world against 1,000 random tables.
//!
//! The tables are drawn from a fixed seed and are made to be hard: shards at the poles and on the
//! antimeridian, several at one place, some a rounding error apart, some mirrored around a city so
//! that they are equally far from it, some opposite a city.

use corelane::geo::{DefaultShard, GeoLocation, ShardManager, ShardSpec, haversine};
use corelane::ids::ShardId;

const TABLES: u64 = 1000;
const RADIUS_KM: f64 = 6371.0;

/// A small generator with a fixed seed (splitmix64), so that a failure repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// From `low` to `high`.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn location(latitude: f64, longitude: f64) -> GeoLocation {
    GeoLocation::new(latitude, longitude).expect("the test makes valid places")
}

/// A place as the plain formula wants it: radians, and longitudes that mean one place made equal.
#[derive(Clone, Copy)]
struct Plain {
    latitude: f64,
    longitude: f64,
    cos_latitude: f64,
}

impl Plain {
    fn new(location: GeoLocation) -> Plain {
        let latitude = location.latitude();
        let longitude = match location.longitude() {
            _ if latitude == 90.0 || latitude == -90.0 => 0.0,
            -180.0 => 180.0,
            longitude => longitude,
        };
        Plain {
            latitude,
            longitude,
            cos_latitude: latitude.to_radians().cos(),
        }
    }

    fn distance_km(&self, other: &Plain) -> f64 {
        let sin_latitude = ((other.latitude - self.latitude).to_radians() / 2.0).sin();
        let sin_longitude = ((other.longitude - self.longitude).to_radians() / 2.0).sin();
        let a = sin_latitude * sin_latitude
            + self.cos_latitude * other.cos_latitude * (sin_longitude * sin_longitude);
        2.0 * RADIUS_KM * a.sqrt().min(1.0).asin()
    }

    /// No shorter way leads from one latitude to the other. Saves the formula where it cannot
    /// win, with a millimetre for rounding.
    fn distance_km_at_least(&self, other: &Plain) -> f64 {
        (other.latitude - self.latitude).abs().to_radians() * RADIUS_KM - 1e-6
    }
}

struct Table {
    shards: Vec<ShardSpec>,
    plain: Vec<Plain>,
    default: Option<DefaultShard>,
}

impl Table {
    fn random(seed: u64, cities: &[GeoLocation]) -> Table {
        let mut random = Random(seed);
        let count = match seed % 20 {
            0..12 => 1 + random.below(12),
            12..19 => 8 + random.below(80),
            _ => 100 + random.below(1000),
        };
        let mut places: Vec<GeoLocation> = Vec::new();
        while places.len() < count {
            add_places(&mut random, cities, &mut places);
        }
        places.truncate(count);
        // Ids in random order and with gaps, so that no answer is right by its place in the list.
        let mut ids: Vec<u16> = (0..count as u16).map(|id| id * 3 + 1).collect();
        for last in (1..count).rev() {
            ids.swap(last, random.below(last + 1));
        }
        let shards: Vec<ShardSpec> = ids
            .into_iter()
            .zip(&places)
            .map(|(id, &location)| ShardSpec {
                id: ShardId(id),
                location,
            })
            .collect();
        let default = seed.is_multiple_of(3).then(|| DefaultShard {
            shard: shards[random.below(count)].id,
            beyond_km: random.between(0.0, 6000.0),
        });
        Table {
            plain: places.iter().map(|&place| Plain::new(place)).collect(),
            shards,
            default,
        }
    }

    fn nearest(&self, client: &Plain) -> ShardId {
        let mut best = (f64::INFINITY, ShardId(0));
        for (shard, place) in self.shards.iter().zip(&self.plain) {
            if client.distance_km_at_least(place) <= best.0 {
                let found = (client.distance_km(place), shard.id);
                if found < best {
                    best = found;
                }
            }
        }
        match self.default {
            Some(default) if best.0 > default.beyond_km => default.shard,
            _ => best.1,
        }
    }

    fn by_distance(&self, client: &Plain) -> Vec<ShardId> {
        let mut order: Vec<(f64, ShardId)> = (self.shards.iter().zip(&self.plain))
            .map(|(shard, place)| (client.distance_km(place), shard.id))
            .collect();
        order.sort_by(|a, b| a.partial_cmp(b).expect("distances are numbers"));
        let mut order: Vec<ShardId> = order.into_iter().map(|(_, id)| id).collect();
        let first = self.nearest(client);
        order.retain(|&id| id != first);
        order.insert(0, first);
        order
    }
}

/// Adds one or two shards of a random kind.
fn add_places(random: &mut Random, cities: &[GeoLocation], places: &mut Vec<GeoLocation>) {
    let city = cities[random.below(cities.len())];
    let latitude = random.between(-1.0, 1.0).asin().to_degrees();
    let longitude = random.between(-180.0, 180.0);
    match random.below(10) {
        0..4 => places.push(location(latitude, longitude)),
        4 => places.push(city),
        5 => {
            let pole = if random.below(2) == 0 { 90.0 } else { -90.0 };
            places.push(location(pole, longitude));
            places.push(location(pole, random.between(-180.0, 180.0)));
        }
        6 => {
            places.push(location(latitude, 180.0));
            places.push(location(latitude, -180.0));
        }
        7 => {
            let Some(&twin) = places.last() else { return };
            let apart = 10_f64.powf(random.between(-16.0, -5.0));
            let longitude = (twin.longitude() + apart).min(180.0);
            places.push(location(twin.latitude(), longitude));
            places.push(twin);
        }
        8 => {
            let aside = random.between(0.0, 180.0 - city.longitude().abs());
            places.push(location(latitude, city.longitude() - aside));
            places.push(location(latitude, city.longitude() + aside));
        }
        _ => {
            let opposite = city.longitude() - 180.0_f64.copysign(city.longitude());
            places.push(location(-city.latitude(), opposite));
        }
    }
}

fn clients() -> Vec<GeoLocation> {
    let mut reader =
        csv::Reader::from_path("tests/fixtures/cities.csv").expect("a file of this repository");
    let mut clients: Vec<GeoLocation> = reader
        .records()
        .map(|row| {
            let row = row.expect("a row of the fixture");
            let degrees = |column: usize| row[column].parse().expect("a number");
            location(degrees(3), degrees(4))
        })
        .collect();
    assert_eq!(clients.len(), 5000);
    for latitude in [-90.0, -45.0, -0.0, 0.0, 1e-9, 60.0, 90.0] {
        for longitude in [-180.0, -179.999_999_9, -90.0, -0.0, 0.0, 135.0, 180.0] {
            clients.push(location(latitude, longitude));
        }
    }
    clients
}

fn check_table(seed: u64, clients: &[GeoLocation], plain: &[Plain]) {
    let table = Table::random(seed, clients);
    let manager = ShardManager::new(table.shards.clone(), table.default)
        .expect("random tables are valid ones");
    for (&client, place) in clients.iter().zip(plain) {
        assert_eq!(
            manager.determine_shard(client),
            table.nearest(place),
            "table {seed} of {} shards, client {client:?}",
            table.shards.len()
        );
    }
    let mut order = Vec::new();
    for number in 0..10 {
        let at = (seed as usize * 131 + number * 509) % clients.len();
        manager.by_distance_into(clients[at], &mut order);
        assert_eq!(
            order,
            table.by_distance(&plain[at]),
            "failover order of table {seed}, client {:?}",
            clients[at]
        );
    }
}

#[test]
fn every_city_gets_the_shard_that_the_plain_formula_gives() {
    let clients = clients();
    let plain: Vec<Plain> = clients.iter().map(|&client| Plain::new(client)).collect();
    for (from, to) in clients.iter().zip(clients.iter().rev()) {
        let expected = Plain::new(*from).distance_km(&Plain::new(*to));
        assert_eq!(haversine(*from, *to), expected);
    }
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    std::thread::scope(|scope| {
        for first in 0..threads {
            let (clients, plain) = (&clients, &plain);
            scope.spawn(move || {
                for seed in (first..TABLES).step_by(threads as usize) {
                    check_table(seed, clients, plain);
                }
            });
        }
    });
}
