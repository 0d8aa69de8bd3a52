//! A place on the Earth.
//!
//! Owns: the one check of coordinates. Never does: distances (that is [`crate::geo`]).

use std::fmt;

/// A validated place: latitude -90 to 90 degrees (north positive), longitude -180 to 180 degrees
/// (east positive), both finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeoLocation {
    latitude: f64,
    longitude: f64,
}

/// Why a pair of numbers is no place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LocationError {
    /// `latitude` is NaN or outside -90 to 90.
    Latitude(f64),
    /// `longitude` is NaN or outside -180 to 180.
    Longitude(f64),
}

impl GeoLocation {
    /// Checks both coordinates (degrees).
    ///
    /// # Errors
    /// Names the field that is NaN, infinite or out of range.
    #[inline]
    pub fn new(latitude: f64, longitude: f64) -> Result<GeoLocation, LocationError> {
        // A range check is false for NaN, so NaN is refused here as well.
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(LocationError::Latitude(latitude));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(LocationError::Longitude(longitude));
        }
        Ok(GeoLocation {
            latitude,
            longitude,
        })
    }

    /// Degrees north.
    #[inline]
    pub const fn latitude(&self) -> f64 {
        self.latitude
    }

    /// Degrees east.
    #[inline]
    pub const fn longitude(&self) -> f64 {
        self.longitude
    }
}

impl fmt::Display for LocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LocationError::Latitude(value) => {
                write!(
                    f,
                    "latitude {value} is out of range; allowed: -90 to 90 degrees"
                )
            }
            LocationError::Longitude(value) => {
                write!(
                    f,
                    "longitude {value} is out of range; allowed: -180 to 180 degrees"
                )
            }
        }
    }
}

impl std::error::Error for LocationError {}
