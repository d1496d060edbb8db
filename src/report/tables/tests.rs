use std::fs::File;

use parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;
use crate::report::samples;

fn reader(directory: &Path, table: &str) -> SerializedFileReader<File> {
    SerializedFileReader::new(File::open(directory.join(table)).unwrap()).unwrap()
}

#[test]
fn rows_are_written_in_groups_and_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let (summary, attempts) = samples::overflow_mixed();
    let mut tables = TablesReport::create(directory.path()).unwrap();
    let rows = 100_000;
    attempts.iter().cycle().take(rows).for_each(|attempt| tables.attempt(attempt).unwrap());
    tables.finish(&summary).unwrap();
    let read = reader(directory.path(), "attempts.parquet");
    assert_eq!(read.metadata().num_row_groups(), 4, "memory is bounded by the size of a group");
    assert_eq!(read.metadata().file_metadata().num_rows(), rows as i64);
    let wanted = attempts.iter().cycle().take(rows).step_by(40_000);
    for (row, attempt) in read.get_row_iter(None).unwrap().step_by(40_000).zip(wanted) {
        let text = row.unwrap().to_string();
        assert!(text.contains(&format!("client: \"{}\"", attempt.client)), "{text}");
        assert!(
            text.contains(&format!("timing_duration_ns: {},", attempt.timing.duration.as_nanos())),
            "{text}"
        );
    }
    assert_eq!(reader(directory.path(), "listeners.parquet").metadata().file_metadata().num_rows(), 1);
}

#[test]
fn attempts_have_the_columns_of_csv() {
    let names: Vec<String> = attempts::columns().into_iter().map(|column| column.name).collect();
    let plain: Vec<&str> = names.iter().map(|name| name.strip_suffix("_ns").unwrap_or(name)).collect();
    assert_eq!(plain, crate::report::COLUMNS);
}
