//! The race as a curve: share of successful connects over the window between SYN-ACK and RST.
//!
//! Owns the drawing on the terminal and as SVG. Does not own the measurement (`scenario::race`).

use std::io;
use std::path::Path;

use plotters::prelude::*;
use textplots::{AxisBuilder, Chart, LabelBuilder, LabelFormat, LineStyle, Plot, Shape};

use super::scenario::{CpuLoad, Curve, Point};

/// Cells of the terminal's curve; Braille gives 2×4 dots each.
const COLUMNS: u32 = 72;
const LINES: u32 = 12;
/// Pixels of the SVG.
const SIZE: (u32, u32) = (900, 520);
/// Decades of the window, in microseconds: from a few, which is what the path takes, to milliseconds.
const FROM: f64 = 5.0;
const TO: f64 = 5_000.0;

/// The four series in the order they are drawn.
const SERIES: [(&str, CpuLoad, RGBColor); 4] = [
    ("blocking", CpuLoad::Idle, RGBColor(31, 119, 180)),
    ("non-blocking", CpuLoad::Idle, RGBColor(44, 160, 44)),
    ("blocking", CpuLoad::Busy, RGBColor(214, 39, 40)),
    ("non-blocking", CpuLoad::Busy, RGBColor(255, 127, 14)),
];

impl Curve {
    /// One series, as (window in microseconds, per cent).
    fn series(&self, mode: &str, load: CpuLoad) -> Vec<(f64, f64)> {
        let mut points: Vec<(f64, f64)> = self
            .windows
            .iter()
            .filter(|share| share.mode == mode && share.load == load && share.connects > 0)
            .map(|share| {
                let per_cent = share.succeeded as f64 / share.connects as f64 * 100.0;
                ((share.window * 1e6).clamp(FROM, TO), per_cent)
            })
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    }
}

/// The numbers as a table, and the idle blocking curve drawn in Braille dots.
#[must_use]
pub fn draw_text(curve: &Curve) -> String {
    let mut text = String::from(
        "  share of connects that say success, and median window from SYN-ACK to RST\n\n  \
         \u{20}            IDLE CPU                        BUSY CPU\n  \
         ROUND TRIP   BLOCKING        NON-BLOCKING    BLOCKING        NON-BLOCKING\n",
    );
    let mut round_trips: Vec<f64> = curve.points.iter().map(|point| point.round_trip).collect();
    round_trips.sort_by(f64::total_cmp);
    round_trips.dedup();
    for round_trip in round_trips {
        text += &format!("  {:>7.0} µs", round_trip * 1e6);
        for (mode, load, _) in SERIES {
            let at = |p: &&Point| p.mode == mode && p.load == load && p.round_trip == round_trip;
            let cell = curve.points.iter().find(at).map_or_else(String::new, |point| {
                format!("{:>3.0} %  {:>4.0} µs", point.share() * 100.0, point.window * 1e6)
            });
            text += &format!("   {cell:<13}");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    let line: Vec<(f32, f32)> = curve
        .series("blocking", CpuLoad::Idle)
        .into_iter()
        .map(|(window, share)| (window.log10() as f32, share as f32))
        .collect();
    let (Some(first), Some(last)) = (line.first(), line.last()) else {
        return text;
    };
    if first.0 < last.0 {
        let shape = Shape::Lines(&line);
        let mut chart = Chart::new_with_y_range(COLUMNS * 2, LINES * 4, first.0, last.0, 0.0, 100.0);
        let chart = chart
            .lineplot(&shape)
            .x_axis_style(LineStyle::Solid)
            .y_axis_style(LineStyle::Solid)
            .x_label_format(LabelFormat::Custom(Box::new(|x| format!("{:.0} µs", 10_f32.powf(x)))))
            .y_label_format(LabelFormat::Custom(Box::new(|y| format!("{y:.0} %"))));
        chart.axis();
        chart.figures();
        text += &format!("\n  blocking connect(), idle CPU; window on a logarithmic axis\n{chart}");
    }
    text
}

/// Draws all four curves to `path`.
///
/// # Errors
///
/// The file cannot be written.
pub fn draw_svg(curve: &Curve, path: &Path) -> io::Result<()> {
    let mut svg = String::new();
    plot(curve, &mut svg).map_err(|error| io::Error::other(error.to_string()))?;
    std::fs::write(path, svg)
}

fn plot(curve: &Curve, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Does connect() return before the RST arrives?", ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(52)
        .y_label_area_size(64)
        .build_cartesian_2d((FROM..TO).log_scale(), 0.0..105.0)?;
    chart
        .configure_mesh()
        .x_desc("window between SYN-ACK and RST at the client, µs")
        .y_desc("connects that say success, %")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .x_max_light_lines(9)
        .y_max_light_lines(1)
        .light_line_style(RGBColor(235, 235, 235))
        .bold_line_style(RGBColor(205, 205, 205))
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 16))
        .draw()?;
    for (mode, load, colour) in SERIES {
        let points = curve.series(mode, load);
        let name = match load {
            CpuLoad::Idle => format!("{mode}, idle CPU"),
            CpuLoad::Busy => format!("{mode}, busy CPU"),
        };
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .label_font(("sans-serif", 15))
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::scenario::Share;

    #[test]
    fn every_series_is_in_the_drawing() {
        let point = |mode, load, window, succeeded| Point {
            mode,
            load,
            round_trip: window,
            window,
            connects: 40,
            succeeded,
        };
        let points: Vec<Point> = SERIES
            .iter()
            .flat_map(|&(mode, load, _)| [point(mode, load, 0.0, 3), point(mode, load, 0.001, 40)])
            .collect();
        let share = |point: &Point| Share {
            mode: point.mode,
            load: point.load,
            window: point.window,
            connects: point.connects,
            succeeded: point.succeeded,
        };
        let curve = Curve { windows: points.iter().map(share).collect(), points };
        let mut svg = String::new();
        plot(&curve, &mut svg).unwrap();
        for (_, _, RGBColor(r, g, b)) in SERIES {
            let colour = format!("#{r:02X}{g:02X}{b:02X}");
            let drawn = |shape: &str| {
                svg.lines().filter(|line| line.starts_with(shape) && line.contains(&colour)).count()
            };
            assert_eq!((drawn("<polyline"), drawn("<circle")), (2, 2), "line and legend, two points: {svg}");
        }
        for name in ["blocking, idle CPU", "non-blocking, busy CPU"] {
            assert!(svg.contains(name), "no {name} in {svg}");
        }
        let text = draw_text(&curve);
        assert!(text.contains("8 %     0 µs") && text.contains("100 %  1000 µs"), "{text}");
    }

    #[test]
    fn an_empty_curve_draws_an_empty_plot() {
        assert!(draw_text(&Curve::default()).lines().count() < 5);
        let mut svg = String::new();
        plot(&Curve::default(), &mut svg).unwrap();
        assert!(svg.starts_with("<svg"));
    }
}
