//! The load over time: drawn in the terminal, and as SVG.

use std::io;
use std::path::Path;

use plotters::prelude::*;
use textplots::{AxisBuilder, Chart, LabelBuilder, LabelFormat, LineStyle, Plot, Shape};

use crate::listener::size::{Bin, Series};
use crate::report::text::wrap;

/// Columns of the terminal's plots, at least and at most, without the figures beside them; Braille gives 2×4 dots each.
const COLUMNS: (usize, usize) = (20, 100);
const LINES: u32 = 8;
/// Columns for the figures beside a plot: a space and a number of clients.
const FIGURES: usize = 9;
/// Pixels of the SVG.
const SIZE: (u32, u32) = (900, 640);

const ARRIVALS: RGBColor = RGBColor(31, 119, 180);
const ACCEPTS: RGBColor = RGBColor(44, 160, 44);
const WANTED: RGBColor = RGBColor(214, 39, 40);

/// Two plots in Braille dots, at most `width` columns: clients that have arrived and got in so far, and the queue wanted.
#[must_use]
pub fn draw_text(series: &Series, limit: Option<u32>, sockets: u32, width: usize) -> String {
    let columns = width.saturating_sub(FIGURES).clamp(COLUMNS.0, COLUMNS.1) as u32;
    let title = |text: String| wrap(&text, width, "  ", "  ").join("\n") + "\n";
    let narrow = |points: Vec<(f64, f64)>| -> Vec<(f32, f32)> {
        points.into_iter().map(|(x, y)| (x as f32, y as f32)).collect()
    };
    let arrivals = narrow(so_far(series, |bin| bin.arrivals));
    let admissions = narrow(so_far(series, |bin| bin.admissions));
    let wanted = narrow(curve(series, |bin| f64::from(bin.wanted)));
    let mut text =
        title("clients so far: the upper line has arrived, the lower line got into the queue".to_owned());
    text.push_str(&chart(columns, &[&arrivals, &admissions]));
    let line = limit.map(|limit| wanted.iter().map(|&(x, _)| (x, limit as f32)).collect::<Vec<_>>());
    let at = if sockets > 1 { " at the fullest socket" } else { "" };
    let name = limit.map_or_else(String::new, |limit| format!(", and the limit of {limit}"));
    text.push_str(&title(format!("connections that would have waited{at}, had none been dropped{name}")));
    let lines: Vec<&Vec<(f32, f32)>> = std::iter::once(&wanted).chain(&line).collect();
    text.push_str(&chart(columns, &lines));
    text
}

/// A count, summed up to each bin.
fn so_far(series: &Series, count: impl Fn(&Bin) -> u32) -> Vec<(f64, f64)> {
    let mut sum = 0_u64;
    let mut summed = |(index, bin)| {
        sum += u64::from(count(bin));
        (series.seconds(index), sum as f64)
    };
    series.bins.iter().enumerate().map(&mut summed).collect()
}

fn chart(columns: u32, lines: &[&Vec<(f32, f32)>]) -> String {
    let most = lines.iter().flat_map(|points| points.iter()).map(|point| point.1).fold(1.0, f32::max);
    let last = lines.iter().filter_map(|points| points.last()).map(|point| point.0).fold(0.0, f32::max);
    if last <= 0.0 {
        return String::new();
    }
    let shapes: Vec<Shape<'_>> = lines.iter().map(|points| Shape::Lines(points)).collect();
    let mut chart = Chart::new_with_y_range(columns * 2, LINES * 4, 0.0, last, 0.0, most);
    let mut plotted = chart
        .x_axis_style(LineStyle::Solid)
        .y_axis_style(LineStyle::Solid)
        .x_label_format(LabelFormat::Custom(Box::new(|x| format!("{x:.2} s"))))
        .y_label_format(LabelFormat::Custom(Box::new(|y| format!("{y:.0}"))));
    for shape in &shapes {
        plotted = plotted.lineplot(shape);
    }
    plotted.axis();
    plotted.figures();
    plotted.to_string()
}

/// Draws the same as SVG to `path`.
///
/// # Errors
///
/// The file cannot be written.
pub fn draw_svg(series: &Series, limit: Option<u32>, answer: Option<u32>, path: &Path) -> io::Result<()> {
    let mut svg = String::new();
    plot(series, limit, answer, &mut svg).map_err(|error| io::Error::other(error.to_string()))?;
    std::fs::write(path, svg)
}

pub(super) fn plot(
    series: &Series,
    limit: Option<u32>,
    answer: Option<u32>,
    svg: &mut String,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (upper, lower) = root.split_vertically(SIZE.1 / 2);
    let seconds = series.seconds(series.bins.len());
    let (arrivals, admissions) = (so_far(series, |bin| bin.arrivals), so_far(series, |bin| bin.admissions));
    panel(
        &upper,
        "clients so far",
        seconds,
        SeriesLabelPosition::LowerRight,
        vec![("arrived", ARRIVALS, arrivals), ("got into the queue", ACCEPTS, admissions)],
    )?;
    let wanted = curve(series, |bin| f64::from(bin.wanted));
    let level = |value: u32| vec![(0.0, f64::from(value)), (seconds, f64::from(value))];
    let mut lines = vec![("would have waited, none dropped", WANTED, wanted)];
    lines.extend(limit.map(|limit| ("limit", BLACK, level(limit))));
    lines.extend(answer.map(|answer| ("backlog that holds all", ACCEPTS, level(answer))));
    panel(&lower, "connections that wait", seconds, SeriesLabelPosition::UpperRight, lines)?;
    root.present()?;
    Ok(())
}

fn curve(series: &Series, value: impl Fn(&Bin) -> f64) -> Vec<(f64, f64)> {
    series.bins.iter().enumerate().map(|(index, bin)| (series.seconds(index), value(bin))).collect()
}

type PlotLine = (&'static str, RGBColor, Vec<(f64, f64)>);

fn panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: &str,
    seconds: f64,
    legend: SeriesLabelPosition,
    lines: Vec<PlotLine>,
) -> Result<(), Box<dyn std::error::Error>> {
    let most = lines.iter().flat_map(|(_, _, points)| points).map(|point| point.1).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..seconds, 0.0..most * 1.05)?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .y_desc(title)
        .y_label_formatter(&|value| format!("{value:.0}"))
        .light_line_style(RGBColor(235, 235, 235))
        .bold_line_style(RGBColor(205, 205, 205))
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 16))
        .draw()?;
    for (name, colour, points) in lines {
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(legend)
        .background_style(WHITE)
        .border_style(BLACK)
        .label_font(("sans-serif", 14))
        .draw()?;
    Ok(())
}
