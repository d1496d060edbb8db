//! Columns of a table: the name, the type, and how a row's value is got.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::schema::types::{Type, TypePtr};

use crate::packet::{Span, Timestamp};

/// Gets a value of a row.
type Get<T, V> = Box<dyn Fn(&T) -> V + Send>;

/// One column of rows made from `T`s. Null is allowed in each that is no list.
pub(super) struct TableColumn<T> {
    pub(super) name: String,
    pub(super) values: Values<T>,
}

/// The way to a row's value, by type.
pub(super) enum Values<T> {
    /// A text, or a name of a closed set: each distinct one is stored once for many rows.
    Text(Get<T, Option<ByteArray>>),
    /// An integer: a count, a number, or a time in nanoseconds.
    Integer(Get<T, Option<i64>>),
    /// A port.
    Port(Get<T, Option<u16>>),
    /// A yes or no.
    Bool(Get<T, Option<bool>>),
    /// A time of day in UTC, in nanoseconds.
    Time(Get<T, Option<Timestamp>>),
    /// Any number of texts.
    Texts(Get<T, Vec<ByteArray>>),
    /// Any number of integers.
    Integers(Get<T, Vec<i64>>),
}

/// A text that is made for this row.
pub(super) fn owned(text: impl Into<String>) -> ByteArray {
    ByteArray::from(text.into().into_bytes())
}

/// A text of the program's own.
pub(super) fn fixed(text: &'static str) -> ByteArray {
    ByteArray::from(bytes::Bytes::from_static(text.as_bytes()))
}

/// A name of a closed set.
pub(super) fn name<T>(
    name: impl Into<String>,
    get: impl Fn(&T) -> Option<&'static str> + Send + 'static,
) -> TableColumn<T> {
    text(name, move |row| get(row).map(fixed))
}

pub(super) fn text<T>(
    name: impl Into<String>,
    get: impl Fn(&T) -> Option<ByteArray> + Send + 'static,
) -> TableColumn<T> {
    TableColumn { name: name.into(), values: Values::Text(Box::new(get)) }
}

/// Any number of texts.
pub(super) fn texts<T>(
    name: impl Into<String>,
    get: impl Fn(&T) -> Vec<ByteArray> + Send + 'static,
) -> TableColumn<T> {
    TableColumn { name: name.into(), values: Values::Texts(Box::new(get)) }
}

pub(super) fn integer<T>(
    name: impl Into<String>,
    get: impl Fn(&T) -> Option<i64> + Send + 'static,
) -> TableColumn<T> {
    TableColumn { name: name.into(), values: Values::Integer(Box::new(get)) }
}

/// A count.
pub(super) fn count<T>(name: impl Into<String>, get: impl Fn(&T) -> u64 + Send + 'static) -> TableColumn<T> {
    integer(name, move |row| Some(i64::try_from(get(row)).unwrap_or(i64::MAX)))
}

/// A time span in nanoseconds, as the end of its name says.
pub(super) fn span<T>(
    name: impl Into<String>,
    get: impl Fn(&T) -> Option<Span> + Send + 'static,
) -> TableColumn<T> {
    integer(name.into() + "_ns", move |row| get(row).map(Span::as_nanos))
}

/// Any number of time spans.
pub(super) fn spans<T>(
    name: impl Into<String>,
    get: impl Fn(&T) -> Vec<i64> + Send + 'static,
) -> TableColumn<T> {
    TableColumn { name: name.into() + "_ns", values: Values::Integers(Box::new(get)) }
}

pub(super) fn port<T>(
    name: impl Into<String>,
    get: impl Fn(&T) -> Option<u16> + Send + 'static,
) -> TableColumn<T> {
    TableColumn { name: name.into(), values: Values::Port(Box::new(get)) }
}

pub(super) fn yes_or_no<T>(
    name: impl Into<String>,
    get: impl Fn(&T) -> Option<bool> + Send + 'static,
) -> TableColumn<T> {
    TableColumn { name: name.into(), values: Values::Bool(Box::new(get)) }
}

pub(super) fn time<T>(
    name: impl Into<String>,
    get: impl Fn(&T) -> Option<Timestamp> + Send + 'static,
) -> TableColumn<T> {
    TableColumn { name: name.into(), values: Values::Time(Box::new(get)) }
}

impl<T> TableColumn<T> {
    /// The column in the table's schema.
    pub(super) fn schema(&self) -> Result<TypePtr> {
        let (physical, logical) = match &self.values {
            Values::Text(_) | Values::Texts(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Values::Integer(_) | Values::Integers(_) => (Physical::INT64, None),
            Values::Port(_) => (Physical::INT32, Some(LogicalType::integer(16, false))),
            Values::Bool(_) => (Physical::BOOLEAN, None),
            Values::Time(_) => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS))),
        };
        let leaf = |name: &str, repetition| {
            let leaf = Type::primitive_type_builder(name, physical).with_repetition(repetition);
            leaf.with_logical_type(logical.clone()).build().map(Arc::new)
        };
        match &self.values {
            Values::Texts(_) | Values::Integers(_) => {
                // The three levels that the format's specification asks for: list, repeated group, element.
                let element = leaf("element", Repetition::REQUIRED)?;
                let repeated = Type::group_type_builder("list")
                    .with_repetition(Repetition::REPEATED)
                    .with_fields(vec![element]);
                let list = Type::group_type_builder(&self.name)
                    .with_repetition(Repetition::REQUIRED)
                    .with_logical_type(Some(LogicalType::List))
                    .with_fields(vec![Arc::new(repeated.build()?)]);
                list.build().map(Arc::new)
            }
            _ => leaf(&self.name, Repetition::OPTIONAL),
        }
    }
}
