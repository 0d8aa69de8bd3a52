//! Distances on a sphere, by the haversine formula and by unit vectors, and how far the two agree.

use super::angle::sin_cos_degrees;
use crate::location::GeoLocation;

/// Mean radius of the Earth, in kilometres.
pub const EARTH_RADIUS_KM: f64 = 6371.0;

/// Where two squared chords of the unit sphere differ by less than this, rounding may have put
/// them in the wrong order, and the haversine formula decides.
///
/// Each coordinate of a unit vector is within 2e-15 of the true one (two sines or cosines, each
/// within 7e-16, see [`super::angle`], and one product), so a vector is within 3.5e-15, and the
/// squared chord of two vectors, which is at most 2 long, within 2 * 2 * 7e-15 = 2.8e-14. The
/// haversine formula's own rounding, seen as a squared chord, is smaller. Two chords and two
/// haversines together stay below 1.2e-13. The bound is eight times that. Next to the client and
/// opposite to it, it covers 6 metres, a thousand kilometres away 20 micrometres, so the slow way
/// stays rare.
pub(super) const CHORD2_SLACK: f64 = 1e-12;

/// A point of the unit sphere, and the place it stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) z: f64,
}

impl Point {
    /// The only trigonometry of a routing decision.
    #[inline]
    pub(super) fn new(place: Place) -> Point {
        let [(sin_latitude, cos_latitude), (sin_longitude, cos_longitude)] =
            sin_cos_degrees([place.latitude, place.longitude]);
        Point {
            x: cos_latitude * cos_longitude,
            y: cos_latitude * sin_longitude,
            z: sin_latitude,
        }
    }

    /// The squared length of the straight line through the sphere: 0 to 4. Grows with the
    /// distance, so it orders places as the distance does.
    #[inline]
    pub(super) fn chord2(&self, other: &Point) -> f64 {
        let (dx, dy, dz) = (self.x - other.x, self.y - other.y, self.z - other.z);
        dx * dx + dy * dy + dz * dz
    }
}

/// A location with one name: coordinates in degrees that are equal for equal places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) latitude: f64,
    pub(super) longitude: f64,
}

impl Place {
    /// At a pole every longitude is the same place, and so are -180 and 180 degrees anywhere.
    /// Without this the formula finds them a rounding error apart, and a tie would be decided by
    /// it instead of by the id.
    #[inline]
    pub(super) fn new(location: GeoLocation) -> Place {
        let latitude = location.latitude();
        let longitude = location.longitude();
        let longitude = if latitude.abs() == 90.0 {
            0.0
        } else if longitude == -180.0 {
            180.0
        } else {
            longitude
        };
        // Adding zero turns -0.0 into 0.0, so that equal places also have equal bits.
        Place {
            latitude: latitude + 0.0,
            longitude: longitude + 0.0,
        }
    }

    /// Great-circle distance in kilometres, by the haversine formula.
    pub(super) fn distance_km(self, other: Place) -> f64 {
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_latitude = (other.latitude - self.latitude).to_radians() / 2.0;
        let half_longitude = (other.longitude - self.longitude).to_radians() / 2.0;
        let a = half_latitude.sin().powi(2) + from.cos() * to.cos() * half_longitude.sin().powi(2);
        // Rounding can lift `a` above 1 between antipodes, where the arcsine is undefined.
        2.0 * EARTH_RADIUS_KM * a.sqrt().min(1.0).asin()
    }
}

/// Great-circle distance in kilometres, by the haversine formula on a sphere of
/// [`EARTH_RADIUS_KM`]. Longitudes at a pole, and -180 and 180 degrees, count as the same place.
pub fn haversine(from: GeoLocation, to: GeoLocation) -> f64 {
    Place::new(from).distance_km(Place::new(to))
}

/// The squared chord of two points that lie `km` apart on the sphere.
pub(super) fn chord2_of_km(km: f64) -> f64 {
    let half_angle = (km / EARTH_RADIUS_KM / 2.0).min(std::f64::consts::FRAC_PI_2);
    (2.0 * half_angle.sin()).powi(2)
}
