//! Nearest points among many: a k-d tree over unit vectors in flat arrays.
//!
//! Owns: the points, in the order of the tree, and one split per inner node. Never does: allocate
//! after it was built. A table of up to [`LEAF_POINTS`] points is a single leaf: a plain scan.

use super::distance::{CHORD2_SLACK, Point};

/// Points scanned one after the other rather than split further. Measured with `benches/route.rs`;
/// `docs/sharding.md` has the figures.
pub(super) const LEAF_POINTS: usize = 8;

/// Levels of inner nodes in the largest table.
const DEPTH_MAX: usize = 9;
const _: () = assert!(crate::limits::SHARDS_MAX <= LEAF_POINTS << DEPTH_MAX);

/// An inner node: points with a smaller coordinate lie left. Nodes are numbered as in a heap:
/// the children of `i` are `2 i + 1` and `2 i + 2`. Every leaf has the same depth.
#[derive(Debug, Clone, Copy)]
struct Split {
    axis: Axis,
    at: f64,
}

#[derive(Debug, Clone, Copy)]
enum Axis {
    X,
    Y,
    Z,
}

impl Axis {
    const ALL: [Axis; 3] = [Axis::X, Axis::Y, Axis::Z];

    #[inline]
    fn of(self, point: &Point) -> f64 {
        match self {
            Axis::X => point.x,
            Axis::Y => point.y,
            Axis::Z => point.z,
        }
    }
}

/// A point and what it stands for.
#[derive(Debug, Clone, Copy)]
struct Leaf {
    point: Point,
    index: u32,
}

#[derive(Debug)]
pub(super) struct Tree {
    leaves: Box<[Leaf]>,
    splits: Box<[Split]>,
}

/// The outcome of a search.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nearest {
    /// Index of the point with the smallest squared chord.
    pub(super) index: u32,
    /// That squared chord.
    pub(super) chord2: f64,
    /// The smallest squared chord of any other point, where that lies within
    /// [`CHORD2_SLACK`] of the smallest; else some larger number.
    pub(super) runner_up: f64,
}

/// A part of the tree still to be searched.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    node: usize,
    from: usize,
    to: usize,
    /// No point of this part is nearer than this squared distance.
    bound: f64,
}

impl Tree {
    /// Builds the tree; `index` of a point is its place in `points`.
    pub(super) fn new(points: &[Point]) -> Tree {
        let mut leaves: Vec<Leaf> = (0..)
            .zip(points)
            .map(|(index, &point)| Leaf { point, index })
            .collect();
        let mut inner = 0;
        while leaves.len() > LEAF_POINTS * (inner + 1) {
            inner = 2 * inner + 1;
        }
        let unused = Split {
            axis: Axis::X,
            at: 0.0,
        };
        let mut splits = vec![unused; inner].into_boxed_slice();
        split(&mut leaves, &mut splits, 0);
        Tree {
            leaves: leaves.into_boxed_slice(),
            splits,
        }
    }

    /// The nearest point. The tree must not be empty.
    #[inline]
    pub(super) fn nearest(&self, to: &Point) -> Nearest {
        let mut nearest = Nearest {
            index: 0,
            chord2: f64::INFINITY,
            runner_up: f64::INFINITY,
        };
        self.search(to, &mut |leaf, chord2| {
            if chord2 < nearest.chord2 {
                nearest.runner_up = nearest.chord2;
                nearest.chord2 = chord2;
                nearest.index = leaf.index;
            } else if chord2 < nearest.runner_up {
                nearest.runner_up = chord2;
            }
            nearest.chord2 + CHORD2_SLACK
        });
        nearest
    }

    /// Visits every point whose squared chord is at most `chord2`, and perhaps others.
    pub(super) fn within(&self, to: &Point, chord2: f64, visit: &mut impl FnMut(u32)) {
        self.search(to, &mut |leaf, found| {
            if found <= chord2 {
                visit(leaf.index);
            }
            chord2
        });
    }

    /// Visits points, nearer parts first. `visit` returns the squared chord beyond which no point
    /// is wanted from then on.
    #[inline]
    fn search(&self, to: &Point, visit: &mut impl FnMut(&Leaf, f64) -> f64) {
        if self.splits.is_empty() {
            for leaf in &self.leaves {
                visit(leaf, leaf.point.chord2(to));
            }
            return;
        }
        self.descend(to, visit);
    }

    /// A search of more than one leaf.
    fn descend(&self, to: &Point, visit: &mut impl FnMut(&Leaf, f64) -> f64) {
        let mut limit = f64::INFINITY;
        let mut waiting = [Part::default(); DEPTH_MAX];
        let mut waiting_len = 0;
        let mut part = Part {
            to: self.leaves.len(),
            ..Part::default()
        };
        loop {
            while let Some(split) = self.splits.get(part.node) {
                let middle = middle(part.from, part.to);
                let beyond = split.axis.of(to) - split.at;
                let left = Part {
                    node: 2 * part.node + 1,
                    to: middle,
                    ..part
                };
                let right = Part {
                    node: 2 * part.node + 2,
                    from: middle,
                    ..part
                };
                let (near, mut far) = if beyond < 0.0 {
                    (left, right)
                } else {
                    (right, left)
                };
                far.bound = far.bound.max(beyond * beyond);
                if far.bound <= limit {
                    waiting[waiting_len] = far;
                    waiting_len += 1;
                }
                part = near;
            }
            for leaf in &self.leaves[part.from..part.to] {
                limit = visit(leaf, leaf.point.chord2(to));
            }
            part = loop {
                if waiting_len == 0 {
                    return;
                }
                waiting_len -= 1;
                if waiting[waiting_len].bound <= limit {
                    break waiting[waiting_len];
                }
            };
        }
    }
}

/// Where the points of a node are divided between its children.
#[inline]
const fn middle(from: usize, to: usize) -> usize {
    from + (to - from) / 2
}

/// Orders the points of `node` and of all nodes below it.
fn split(leaves: &mut [Leaf], splits: &mut [Split], node: usize) {
    if node >= splits.len() {
        return;
    }
    let axis = widest(leaves);
    let at = middle(0, leaves.len());
    leaves.select_nth_unstable_by(at, |a, b| axis.of(&a.point).total_cmp(&axis.of(&b.point)));
    splits[node] = Split {
        axis,
        at: axis.of(&leaves[at].point),
    };
    let (left, right) = leaves.split_at_mut(at);
    split(left, splits, 2 * node + 1);
    split(right, splits, 2 * node + 2);
}

/// The axis along which the points are spread the most.
fn widest(leaves: &[Leaf]) -> Axis {
    let spread = |axis: Axis| {
        let coordinates = leaves.iter().map(|leaf| axis.of(&leaf.point));
        coordinates.clone().fold(f64::NEG_INFINITY, f64::max)
            - coordinates.fold(f64::INFINITY, f64::min)
    };
    Axis::ALL
        .into_iter()
        .max_by(|&a, &b| spread(a).total_cmp(&spread(b)))
        .expect("there are three axes")
}
