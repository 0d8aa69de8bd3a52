//! The table of shards.

use super::distance::{CHORD2_SLACK, Place, Point, chord2_of_km};
use super::tree::Tree;
use crate::ids::ShardId;
use crate::limits::SHARDS_MAX;
use crate::location::GeoLocation;

/// A shard and where it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShardSpec {
    /// Its id; unique in a table.
    pub id: ShardId,
    /// Its place. Several shards may share one: the smallest id is then the nearest.
    pub location: GeoLocation,
}

/// Where clients go that are far from every shard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DefaultShard {
    /// One of the table's shards.
    pub shard: ShardId,
    /// A client farther than this from every shard goes to `shard`. Kilometres, finite, 0 or more.
    pub beyond_km: f64,
}

/// Why shards make no table.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ShardTableError {
    /// There is no shard.
    #[error("the table has no shard; allowed: 1 to {SHARDS_MAX}")]
    Empty,
    /// There are too many.
    #[error("the table has {shards} shards; allowed: 1 to {SHARDS_MAX}")]
    TooMany {
        /// How many were given.
        shards: usize,
    },
    /// Two shards have one id.
    #[error("shard id {id} is used twice")]
    DuplicateId {
        /// The id.
        id: ShardId,
    },
    /// The default shard is not in the table.
    #[error("default shard {id} is not in the table")]
    UnknownDefault {
        /// The id.
        id: ShardId,
    },
    /// `beyond_km` is no distance.
    #[error("beyond_km of the default shard is {beyond_km}; allowed: a finite number, 0 or more")]
    BeyondKm {
        /// What was given.
        beyond_km: f64,
    },
}

/// Finds the nearest shard. Immutable.
///
/// The answer is always that of the plain rule: the smallest distance by [`super::haversine`],
/// among equal ones the smallest id. It is found without trigonometry over the table; see
/// `docs/sharding.md`.
#[derive(Debug)]
pub struct ShardManager {
    /// By ascending id.
    shards: Box<[ShardSpec]>,
    /// For each shard, in the same order.
    points: Box<[Point]>,
    /// For each id up to the largest, the index of its shard; meaningless for other ids.
    index_of_id: Box<[u16]>,
    /// For each distinct place, the smallest id there.
    sites: Box<[Site]>,
    /// Over the sites.
    tree: Tree,
    default: Option<Fallback>,
}

#[derive(Debug, Clone, Copy)]
struct Site {
    place: Place,
    id: ShardId,
}

#[derive(Debug, Clone, Copy)]
struct Fallback {
    shard: ShardId,
    beyond_km: f64,
    beyond_chord2: f64,
}

impl ShardManager {
    /// Builds the table.
    ///
    /// # Errors
    /// No shard, more than [`SHARDS_MAX`], an id used twice, a default shard that is not in the
    /// table or whose distance is no distance.
    pub fn new(
        mut shards: Vec<ShardSpec>,
        default: Option<DefaultShard>,
    ) -> Result<ShardManager, ShardTableError> {
        if shards.is_empty() {
            return Err(ShardTableError::Empty);
        }
        if shards.len() > SHARDS_MAX {
            return Err(ShardTableError::TooMany {
                shards: shards.len(),
            });
        }
        shards.sort_by_key(|shard| shard.id);
        if let Some(pair) = shards.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(ShardTableError::DuplicateId { id: pair[0].id });
        }
        let default = default
            .map(|default| check_default(&shards, default))
            .transpose()?;
        let sites = distinct_sites(&shards);
        let site_points: Vec<Point> = sites.iter().map(|site| Point::new(site.place)).collect();
        Ok(ShardManager {
            points: shards
                .iter()
                .map(|shard| Point::new(Place::new(shard.location)))
                .collect(),
            index_of_id: index_of_id(&shards),
            shards: shards.into_boxed_slice(),
            tree: Tree::new(&site_points),
            sites,
            default,
        })
    }

    /// The shards, by ascending id.
    pub fn shards(&self) -> &[ShardSpec] {
        &self.shards
    }

    /// The shard for a client at this place: the nearest one, or the default shard where the
    /// client is too far from all of them. Allocates nothing.
    #[inline]
    pub fn determine_shard(&self, client: GeoLocation) -> ShardId {
        let place = Place::new(client);
        let point = Point::new(place);
        let nearest = self.tree.nearest(&point);
        let mut site = self.sites[nearest.index as usize];
        if nearest.runner_up - nearest.chord2 <= CHORD2_SLACK {
            site = self.nearest_by_formula(place, &point, nearest.chord2 + CHORD2_SLACK);
        }
        match self.default {
            Some(default) if default.applies(place, site.place, nearest.chord2) => default.shard,
            Some(_) | None => site.id,
        }
    }

    /// All shards in failover order: first the one that [`ShardManager::determine_shard`] gives,
    /// then the others by distance, equal ones by id.
    pub fn by_distance(&self, client: GeoLocation) -> Vec<ShardId> {
        let mut order = Vec::new();
        self.by_distance_into(client, &mut order);
        order
    }

    /// As [`ShardManager::by_distance`], into a buffer, whose content is replaced. Allocates only
    /// where the buffer has no room for the whole table.
    pub fn by_distance_into(&self, client: GeoLocation, order: &mut Vec<ShardId>) {
        let place = Place::new(client);
        let point = Point::new(place);
        order.clear();
        order.extend(self.shards.iter().map(|shard| shard.id));
        order.sort_unstable_by(|&a, &b| {
            let (a, b) = (self.index(a), self.index(b));
            let chords = (point.chord2(&self.points[a]), point.chord2(&self.points[b]));
            if (chords.0 - chords.1).abs() > CHORD2_SLACK {
                return chords.0.total_cmp(&chords.1);
            }
            let km = |index: usize| place.distance_km(Place::new(self.shards[index].location));
            // Shards are sorted by id, so the index stands for it.
            km(a).total_cmp(&km(b)).then(a.cmp(&b))
        });
        if self.default.is_some() {
            let first = self.determine_shard(client);
            let at = order.iter().position(|&shard| shard == first);
            let at = at.expect("determine_shard gives a shard of the table, and all are listed");
            order[..=at].rotate_right(1);
        }
    }

    #[inline]
    fn index(&self, id: ShardId) -> usize {
        usize::from(self.index_of_id[id.index()])
    }

    /// Decides between sites that rounding may have put in the wrong order.
    #[cold]
    fn nearest_by_formula(&self, client: Place, point: &Point, chord2_max: f64) -> Site {
        let mut best: Option<(f64, Site)> = None;
        self.tree.within(point, chord2_max, &mut |index| {
            let site = self.sites[index as usize];
            let km = client.distance_km(site.place);
            if best.is_none_or(|(best_km, other)| (km, site.id) < (best_km, other.id)) {
                best = Some((km, site));
            }
        });
        best.expect("the nearest site lies within its own distance")
            .1
    }
}

impl Fallback {
    /// Whether the nearest site is too far. `chord2` is the smallest of any site.
    #[inline]
    fn applies(&self, client: Place, nearest: Place, chord2: f64) -> bool {
        let beyond = chord2 - self.beyond_chord2;
        if beyond.abs() <= CHORD2_SLACK {
            return client.distance_km(nearest) > self.beyond_km;
        }
        beyond > 0.0
    }
}

fn check_default(shards: &[ShardSpec], default: DefaultShard) -> Result<Fallback, ShardTableError> {
    let DefaultShard { shard, beyond_km } = default;
    if shards.binary_search_by_key(&shard, |spec| spec.id).is_err() {
        return Err(ShardTableError::UnknownDefault { id: shard });
    }
    if !beyond_km.is_finite() || beyond_km < 0.0 {
        return Err(ShardTableError::BeyondKm { beyond_km });
    }
    Ok(Fallback {
        shard,
        beyond_km,
        beyond_chord2: chord2_of_km(beyond_km),
    })
}

/// The distinct places, each with its smallest id: shards of one place are always equally far, so
/// only that id can be the nearest, and a table of a thousand shards at one place has no ties.
fn distinct_sites(shards: &[ShardSpec]) -> Box<[Site]> {
    let mut sites: Vec<Site> = shards
        .iter()
        .map(|shard| Site {
            place: Place::new(shard.location),
            id: shard.id,
        })
        .collect();
    sites.sort_by(|a, b| {
        (a.place.latitude.total_cmp(&b.place.latitude))
            .then(a.place.longitude.total_cmp(&b.place.longitude))
            .then(a.id.cmp(&b.id))
    });
    sites.dedup_by(|later, first| later.place == first.place);
    sites.into_boxed_slice()
}

fn index_of_id(shards: &[ShardSpec]) -> Box<[u16]> {
    let largest = shards.last().map_or(0, |shard| shard.id.index());
    let mut table = vec![0; largest + 1].into_boxed_slice();
    for (index, shard) in (0..).zip(shards) {
        table[shard.id.index()] = index;
    }
    table
}
