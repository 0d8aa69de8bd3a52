//! One line of JSON to the fields of a transaction.
//!
//! Owns: the field names, and messages that name the field and what it allows. Never does: I/O.
//! Text without escapes is borrowed from the line.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor,
};

use crate::location::{GeoLocation, LocationError};

/// The fields of one line, as they stand there.
pub(super) struct Line<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) client_location: GeoLocation,
    pub(super) amount: Option<u64>,
    pub(super) payload: Option<Cow<'a, str>>,
    pub(super) submitted_at: Option<i64>,
    pub(super) traceparent: Option<Cow<'a, str>>,
}

/// A field: its path in messages, and what may stand there.
pub(super) struct Field {
    pub(super) path: &'static str,
    pub(super) allowed: &'static str,
}

const fn field(path: &'static str, allowed: &'static str) -> Field {
    Field { path, allowed }
}

pub(super) static ID: Field = field("id", "text of 1 to 64 bytes");
pub(super) static PAYLOAD: Field = field("payload", "base64, standard alphabet with padding");
static LOCATION: Field = field("client_location", "{latitude, longitude}");
static LATITUDE: Field = field("client_location.latitude", "-90 to 90 degrees");
static LONGITUDE: Field = field("client_location.longitude", "-180 to 180 degrees");
static AMOUNT: Field = field("amount", "an integer from 0 to 18446744073709551615");
static SUBMITTED_AT: Field = field("submitted_at", "an integer, microseconds since 1970");
pub(super) static TRACEPARENT: Field = field(
    "traceparent",
    "a W3C trace context, as 00-(32 digits)-(16 digits)-01",
);

const LINE_FIELDS: &str = "id, client_location, amount, payload, submitted_at, traceparent";
const LOCATION_FIELDS: &str = "latitude, longitude";

/// Why a line is no transaction.
pub(super) enum Problem {
    /// It ends before its object does.
    Cut,
    /// A sentence with the field, what it allows and the column.
    Wrong(String),
}

/// Parses one line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Line<'_>, Problem> {
    let trail = Trail::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    deserializer
        .deserialize_map(LineVisitor { trail: &trail })
        .and_then(|line| {
            trail.leave();
            deserializer.end().map(|()| line)
        })
        .map_err(|error| trail.problem(&error))
}

/// Which field is being read. Errors of the JSON parser do not know it.
#[derive(Default)]
struct Trail(Cell<Option<&'static Field>>);

impl Trail {
    fn enter(&self, field: &'static Field) {
        self.0.set(Some(field));
    }

    fn leave(&self) {
        self.0.set(None);
    }

    fn problem(&self, error: &serde_json::Error) -> Problem {
        if error.is_eof() {
            return Problem::Cut;
        }
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = text.strip_suffix(&place).unwrap_or(&text);
        let column = error.column();
        Problem::Wrong(match self.0.get() {
            Some(field) => format!("{} (column {column})", wrong(field, text)),
            None => format!("{text} (column {column})"),
        })
    }
}

/// The sentence about a field's bad value.
pub(super) fn wrong(field: &Field, problem: impl fmt::Display) -> String {
    format!("{}: {problem}; allowed: {}", field.path, field.allowed)
}

struct LineVisitor<'t> {
    trail: &'t Trail,
}

impl<'de> Visitor<'de> for LineVisitor<'_> {
    type Value = Line<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the fields {LINE_FIELDS}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line<'de>, A::Error> {
        let trail = self.trail;
        let mut id: Option<Text<'de>> = None;
        let mut client_location: Option<GeoLocation> = None;
        let mut amount: Option<Option<u64>> = None;
        let mut payload: Option<Option<Text<'de>>> = None;
        let mut submitted_at: Option<Option<i64>> = None;
        let mut traceparent: Option<Option<Text<'de>>> = None;
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "id" => once(&mut id, &mut map, trail, &ID)?,
                "client_location" => {
                    refuse_second(&client_location, &mut map, trail, &LOCATION)?;
                    client_location = Some(map.next_value_seed(LocationSeed { trail })?);
                }
                "amount" => once(&mut amount, &mut map, trail, &AMOUNT)?,
                "payload" => once(&mut payload, &mut map, trail, &PAYLOAD)?,
                "submitted_at" => once(&mut submitted_at, &mut map, trail, &SUBMITTED_AT)?,
                "traceparent" => once(&mut traceparent, &mut map, trail, &TRACEPARENT)?,
                _ => return Err(unknown(&key, LINE_FIELDS)),
            }
            trail.leave();
        }
        Ok(Line {
            id: id.ok_or_else(|| missing(&ID))?.0,
            client_location: client_location.ok_or_else(|| missing(&LOCATION))?,
            amount: amount.flatten(),
            payload: payload.flatten().map(|text| text.0),
            submitted_at: submitted_at.flatten(),
            traceparent: traceparent.flatten().map(|text| text.0),
        })
    }
}

struct LocationSeed<'t> {
    trail: &'t Trail,
}

impl<'de> DeserializeSeed<'de> for LocationSeed<'_> {
    type Value = GeoLocation;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<GeoLocation, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LocationSeed<'_> {
    type Value = GeoLocation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with {LOCATION_FIELDS}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<GeoLocation, A::Error> {
        let trail = self.trail;
        let mut latitude: Option<f64> = None;
        let mut longitude: Option<f64> = None;
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "latitude" => once(&mut latitude, &mut map, trail, &LATITUDE)?,
                "longitude" => once(&mut longitude, &mut map, trail, &LONGITUDE)?,
                _ => {
                    trail.leave();
                    let path = format!("{}.{key}", LOCATION.path);
                    return Err(unknown(&path, LOCATION_FIELDS));
                }
            }
            trail.enter(&LOCATION);
        }
        trail.leave();
        let latitude = latitude.ok_or_else(|| missing(&LATITUDE))?;
        let longitude = longitude.ok_or_else(|| missing(&LONGITUDE))?;
        GeoLocation::new(latitude, longitude).map_err(|error| {
            let (field, value) = match error {
                LocationError::Latitude(value) => (&LATITUDE, value),
                LocationError::Longitude(value) => (&LONGITUDE, value),
            };
            trail.enter(field);
            Error::custom(format_args!("{value} is out of range"))
        })
    }
}

/// Text that is borrowed where it has no escapes. (`Cow` alone is never borrowed by serde.)
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

/// Reads a field's value into its place.
fn once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    place: &mut Option<T>,
    map: &mut A,
    trail: &Trail,
    field: &'static Field,
) -> Result<(), A::Error> {
    refuse_second(place, map, trail, field)?;
    *place = Some(map.next_value()?);
    Ok(())
}

/// Enters a field, unless it was read before: which of two values is meant nobody can know.
fn refuse_second<'de, T, A: MapAccess<'de>>(
    place: &Option<T>,
    map: &mut A,
    trail: &Trail,
    field: &'static Field,
) -> Result<(), A::Error> {
    if place.is_none() {
        trail.enter(field);
        return Ok(());
    }
    trail.leave();
    // Read over it, so that a line that is cut here as well is called cut.
    map.next_value::<IgnoredAny>()?;
    Err(Error::custom(format_args!(
        "{}: stands twice; allowed: once",
        field.path
    )))
}

fn unknown<E: Error>(path: &str, allowed: &str) -> E {
    E::custom(format_args!("{path}: unknown field; allowed: {allowed}"))
}

fn missing<E: Error>(field: &Field) -> E {
    E::custom(format_args!(
        "{}: missing; allowed: {}",
        field.path, field.allowed
    ))
}
