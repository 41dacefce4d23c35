//! Reads the fields of a JSON object and notes everything that is wrong with them, instead of
//! stopping at the first mistake as serde does: an operator who writes an account by hand sees
//! all of them at once.

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Its path, such as `chatConfigurations.timeout`.
    pub path: String,
    /// What it has to be, and what it is.
    pub reason: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// Similar enough to be what was meant (Jaro-Winkler).
const SIMILAR: f64 = 0.8;

/// One object of a document, and the list that collects the mistakes of all of them.
pub(super) struct FieldReader<'v, 'e> {
    path: String,
    object: &'v Map<String, Value>,
    known: Vec<&'static str>,
    errors: &'e mut Vec<FieldError>,
}

impl<'v, 'e> FieldReader<'v, 'e> {
    /// Reads the whole document.
    pub(super) fn of(object: &'v Map<String, Value>, errors: &'e mut Vec<FieldError>) -> Self {
        Self {
            path: String::new(),
            object,
            known: Vec::new(),
            errors,
        }
    }

    /// A text whose number of characters is within `length`.
    pub(super) fn text(
        &mut self,
        name: &'static str,
        length: RangeInclusive<usize>,
    ) -> Option<String> {
        let text = match self.find(name)? {
            Value::String(text) => text,
            other => return self.mistake(name, format!("a string, is {}", kind_of(other))),
        };
        let characters = text.chars().count();
        if length.contains(&characters) {
            return Some(text.clone());
        }
        let (least, most) = length.into_inner();
        let expected = if least == most {
            least.to_string()
        } else {
            format!("{least} to {most}")
        };
        self.mistake(name, format!("{expected} characters, has {characters}"))
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        bounds: RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = self.find(name)?;
        match value.as_u64() {
            Some(number) if bounds.contains(&number) => Some(number),
            _ => {
                let (least, most) = bounds.into_inner();
                self.mistake(name, format!("{least} to {most}, is {}", shown(value)))
            }
        }
    }

    /// True or false.
    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        match self.find(name)? {
            Value::Bool(flag) => Some(*flag),
            other => self.mistake(name, format!("true or false, is {}", shown(other))),
        }
    }

    /// One of a few words.
    pub(super) fn word(&mut self, name: &'static str, words: &[&str]) -> Option<String> {
        let value = self.find(name)?;
        match value.as_str().filter(|word| words.contains(word)) {
            Some(word) => Some(word.to_owned()),
            None => self.mistake(name, format!("{}, is {}", words.join(" or "), shown(value))),
        }
    }

    /// An object, by a reader of its own.
    pub(super) fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut FieldReader<'v, '_>) -> T,
    ) -> Option<T> {
        match self.find(name)? {
            Value::Object(object) => {
                let path = format!("{}{name}.", self.path);
                Some(read(&mut FieldReader {
                    path,
                    object,
                    known: Vec::new(),
                    errors: self.errors,
                }))
            }
            other => self.mistake(name, format!("an object, is {}", kind_of(other))),
        }
    }

    /// A list of objects, each by a reader of its own.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        length: RangeInclusive<usize>,
        read: impl Fn(&mut FieldReader<'v, '_>) -> T,
    ) -> Option<Vec<T>> {
        let items = match self.find(name)? {
            Value::Array(items) if length.contains(&items.len()) => items,
            Value::Array(items) => {
                let (least, most) = length.into_inner();
                return self.mistake(
                    name,
                    format!("{least} to {most} items, has {}", items.len()),
                );
            }
            other => return self.mistake(name, format!("a list, is {}", kind_of(other))),
        };
        let mut all = Vec::new();
        for (nth, item) in items.iter().enumerate() {
            let path = format!("{name}[{nth}]");
            match item {
                Value::Object(object) => {
                    let path = format!("{}{path}.", self.path);
                    all.push(read(&mut FieldReader {
                        path,
                        object,
                        known: Vec::new(),
                        errors: self.errors,
                    }));
                }
                other => {
                    drop(self.mistake::<T>(&path, format!("an object, is {}", kind_of(other))))
                }
            }
        }
        Some(all)
    }

    /// The value, or a mistake if it is missing. `expected` describes what it has to be.
    pub(super) fn required<T: Default>(
        &mut self,
        name: &str,
        expected: &str,
        read: Option<T>,
    ) -> T {
        if read.is_none() && self.object.get(name).is_none_or(Value::is_null) {
            self.mistake::<T>(name, format!("missing: {expected}"));
        }
        read.unwrap_or_default()
    }

    /// Lets a field pass that eGain sets itself, without reading it.
    pub(super) fn pass(&mut self, name: &'static str) {
        self.known.push(name);
    }

    /// A mistake that has to do with more than one field's own value.
    pub(super) fn mistake<T>(&mut self, name: &str, reason: impl Into<String>) -> Option<T> {
        self.errors.push(FieldError {
            path: format!("{}{name}", self.path),
            reason: reason.into(),
        });
        None
    }

    /// Fields that were not read. Those that `current` has, which is the same object as eGain
    /// sent it, stay, also where this one left them out: eGain may have fields that aren't
    /// documented. Others are mistakes.
    pub(super) fn rest(&mut self, current: Option<&Value>) -> Map<String, Value> {
        let current = current.and_then(Value::as_object);
        let unknown = |name: &String| !self.known.contains(&name.as_str());
        let mut rest: Map<_, _> = current
            .into_iter()
            .flatten()
            .filter(|(name, _)| unknown(name))
            .map(owned)
            .collect();
        let mut mistakes = Vec::new();
        for (name, value) in self.object.iter().filter(|(name, _)| unknown(name)) {
            if let Some(kept) = rest.get_mut(name) {
                *kept = value.clone();
            } else {
                mistakes.push((name, self.suggestion(name)));
            }
        }
        for (name, reason) in mistakes {
            self.mistake::<()>(name, reason);
        }
        rest
    }

    fn suggestion(&self, name: &str) -> String {
        let like = |known: &&&str| {
            strsim::jaro_winkler(&known.to_ascii_lowercase(), &name.to_ascii_lowercase())
        };
        let nearest = self
            .known
            .iter()
            .max_by(|one, two| like(one).total_cmp(&like(two)));
        match nearest.filter(|known| like(known) > SIMILAR) {
            Some(known) => format!("unknown: did you mean {known}?"),
            None => format!("unknown: there are {}", self.known.join(", ")),
        }
    }

    fn find(&mut self, name: &'static str) -> Option<&'v Value> {
        self.known.push(name);
        // An explicit null is taken as not given, as many serializers write it so.
        self.object.get(name).filter(|value| !value.is_null())
    }
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// A short value as it is; of a longer one only its kind.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 40 {
        text
    } else {
        kind_of(value).to_owned()
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
