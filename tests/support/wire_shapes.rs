//! Bodies made from shapes: good ones filled from a seed, long ones, and ones with a single fault.

#![allow(dead_code)] // Each test uses its part.

use corelane::wire::api::Encoding;
use corelane::wire::shape::{Field, Kind};

/// Where numbers and lengths come from: the bytes of a seed, over and over.
pub struct Filling<'a> {
    seed: &'a [u8],
    at: usize,
}

impl<'a> Filling<'a> {
    /// Takes its bytes from `seed`, which is not empty.
    pub fn new(seed: &'a [u8]) -> Filling<'a> {
        Filling { seed, at: 0 }
    }

    fn byte(&mut self) -> u8 {
        let byte = self.seed[self.at % self.seed.len()];
        // Repeats differ, so that a short seed is not the same in every field.
        let turn = (self.at / self.seed.len()) as u8;
        self.at += 1;
        byte.wrapping_add(turn.wrapping_mul(31))
    }
}

/// What is wrong with one field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Null,
    LargeCount,
}

/// A body with a single fault.
pub struct Faulty {
    /// The field that has it.
    pub field: &'static Field,
    /// The body.
    pub bytes: Vec<u8>,
}

struct Maker<'a, 'b> {
    out: Vec<u8>,
    version: i16,
    encoding: Encoding,
    filling: &'a mut Filling<'b>,
    fault: Fault,
    /// Fields that could have the fault, counted down to the one that has it.
    until_fault: usize,
    faulty: Option<&'static Field>,
    /// Elements of each array of the request itself; within those all is empty.
    long: Option<usize>,
    depth: usize,
}

/// A body with that many elements in each of its arrays, each as short as can be.
pub fn long(
    fields: &'static [Field],
    version: i16,
    encoding: Encoding,
    elements: usize,
) -> Vec<u8> {
    let mut filling = Filling::new(&[0]);
    let mut maker = Maker::new(version, encoding, &mut filling, Fault::None, 0);
    maker.long = Some(elements);
    maker.structure(fields);
    maker.out
}

/// The body of a request of that shape and version.
pub fn made(
    fields: &'static [Field],
    version: i16,
    encoding: Encoding,
    filling: &mut Filling<'_>,
) -> Vec<u8> {
    let mut maker = Maker::new(version, encoding, filling, Fault::None, 0);
    maker.structure(fields);
    maker.out
}

fn faulty(
    fields: &'static [Field],
    version: i16,
    encoding: Encoding,
    fault: Fault,
) -> impl Iterator<Item = Faulty> {
    (0..).map_while(move |nth| {
        // Two elements in each array, and nothing null but the one.
        let mut filling = Filling::new(&[2]);
        let mut maker = Maker::new(version, encoding, &mut filling, fault, nth);
        maker.structure(fields);
        maker.faulty.map(|field| Faulty {
            field,
            bytes: maker.out,
        })
    })
}

/// For each string, bytes or array of a shape, a body in which that alone is null.
pub fn with_one_null(
    fields: &'static [Field],
    version: i16,
    encoding: Encoding,
) -> impl Iterator<Item = Faulty> {
    faulty(fields, version, encoding, Fault::Null)
}

/// For each array of a shape, a body in which that alone claims the largest count.
pub fn with_one_large_count(
    fields: &'static [Field],
    version: i16,
    encoding: Encoding,
) -> impl Iterator<Item = Faulty> {
    faulty(fields, version, encoding, Fault::LargeCount)
}

impl<'a, 'b> Maker<'a, 'b> {
    fn new(
        version: i16,
        encoding: Encoding,
        filling: &'a mut Filling<'b>,
        fault: Fault,
        until_fault: usize,
    ) -> Maker<'a, 'b> {
        Maker {
            out: Vec::new(),
            version,
            encoding,
            filling,
            fault,
            until_fault,
            faulty: None,
            long: None,
            depth: 0,
        }
    }

    fn structure(&mut self, fields: &'static [Field]) {
        let version = self.version;
        self.depth += 1;
        for field in fields.iter().filter(|field| field.is_in(version)) {
            self.field(field);
        }
        if self.encoding == Encoding::Flexible {
            self.out.push(0);
        }
        self.depth -= 1;
    }

    fn field(&mut self, field: &'static Field) {
        match field.kind {
            Kind::Number(1) => {
                // Booleans are written as 0 and 1 only.
                let byte = self.filling.byte() & 1;
                self.out.push(byte);
            }
            Kind::Number(width) => self.number(width),
            Kind::String | Kind::Bytes => {
                if let Some(length) = self.length(field) {
                    self.text(length);
                }
            }
            Kind::Numbers(width) => {
                for _ in 0..self.length(field).unwrap_or(0) {
                    self.number(width);
                }
            }
            Kind::Strings => {
                for _ in 0..self.length(field).unwrap_or(0) {
                    let length = match self.long {
                        None => usize::from(self.filling.byte() % 4),
                        Some(_) => 0,
                    };
                    self.put_length(Some(length), 2);
                    self.text(length);
                }
            }
            Kind::Structs(fields) => {
                for _ in 0..self.length(field).unwrap_or(0) {
                    self.structure(fields);
                }
            }
            Kind::OptionalStruct(fields) => {
                if self.filling.byte() & 1 == 0 {
                    self.out.push(1);
                    self.structure(fields);
                } else {
                    self.out.push(0xff);
                }
            }
        }
    }

    fn number(&mut self, width: usize) {
        for _ in 0..width {
            let byte = self.filling.byte();
            self.out.push(byte);
        }
    }

    fn text(&mut self, length: usize) {
        for _ in 0..length {
            let byte = b'a' + self.filling.byte() % 26;
            self.out.push(byte);
        }
    }

    /// Writes the length or count of a field: how much has to follow it, if it is not null.
    fn length(&mut self, field: &'static Field) -> Option<usize> {
        let is_array = !matches!(field.kind, Kind::String | Kind::Bytes);
        let width = if matches!(field.kind, Kind::String) {
            2
        } else {
            4
        };
        let byte = self.filling.byte();
        let nullable = field.nullable_since <= self.version;
        let mut length = Some(usize::from(byte % 3));
        if let Some(elements) = self.long {
            let elements = if is_array && self.depth == 1 {
                elements
            } else {
                0
            };
            self.put_length(Some(elements), width);
            return Some(elements);
        }
        if nullable && self.fault == Fault::None && byte & 0x40 != 0 {
            length = None;
        }
        let applies = match self.fault {
            Fault::None => false,
            Fault::Null => true,
            Fault::LargeCount => is_array,
        };
        if applies && self.faulty.is_none() {
            if self.until_fault == 0 {
                self.faulty = Some(field);
                if self.fault == Fault::LargeCount {
                    self.put_length(Some(i32::MAX as usize), width);
                    return length;
                }
                length = None;
            } else {
                self.until_fault -= 1;
            }
        }
        self.put_length(length, width);
        length
    }

    fn put_length(&mut self, length: Option<usize>, width: usize) {
        if self.encoding == Encoding::Flexible {
            let mut left = length.map_or(0, |length| length + 1);
            while left >= 0x80 {
                self.out.push(left as u8 | 0x80);
                left >>= 7;
            }
            self.out.push(left as u8);
            return;
        }
        let length = length.map_or(-1, |length| length as i64);
        self.out.extend(&length.to_be_bytes()[8 - width..]);
    }
}
