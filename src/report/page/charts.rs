//! Charts of the page as SVG. Their colours are placeholders that the page's style replaces, so that they follow its
//! theme and print well.

use std::error::Error;
use std::ops::Range;

use plotters::prelude::*;

use super::figures::TimeBins;
use crate::listener::LINUX_SYNACK_TIMES;
use crate::listener::size::{QueueLimit, Series};

/// Pixels of a chart; it is scaled to its place.
const SIZE: (u32, u32) = (560, 280);

/// Texts and axes (`page.css` has the real colours).
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const FIRST: RGBColor = RGBColor(3, 3, 3);
const SECOND: RGBColor = RGBColor(4, 4, 4);

type Drawing<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type DrawingResult = Result<(), Box<dyn Error>>;

/// Draws into a string. An SVG in memory cannot fail but by a chart without extent, which is then left out.
fn drawn(draw: impl FnOnce(&Drawing<'_>) -> DrawingResult) -> Option<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let result = draw(&area).and_then(|()| Ok(area.present()?));
    drop(area);
    // The page's policy admits no style but its own; a viewport lets the chart shrink.
    let opening = format!("<svg width=\"{}\" height=\"{}\" ", SIZE.0, SIZE.1);
    result.ok().map(|()| svg.replacen(&opening, "<svg class=\"chart\" aria-hidden=\"true\" ", 1))
}

fn text() -> TextStyle<'static> {
    ("sans-serif", 13).into_font().color(&INK)
}

/// Times by size: a bar for each bin.
pub(super) fn histogram(histogram: &TimeBins) -> Option<String> {
    let bins = histogram.bins();
    let most = bins.iter().map(|&(_, count)| count).max()?;
    drawn(|area| {
        let mut chart = plot(area, 0.0..bins.len() as f64, 0.0..most as f64 * 1.08)?;
        let edge = |place: &f64| {
            let below = (place.round() as usize).checked_sub(1).and_then(|index| bins.get(index));
            below
                .and_then(|(edge, _)| *edge)
                .map(|edge| edge.to_string().replace(".00", "").replace(".0", ""))
                .unwrap_or_default()
        };
        let labels = bins.len().min(9) + 1;
        mesh(&mut chart, labels, &edge)?;
        chart.draw_series(bins.iter().enumerate().filter(|(_, (_, count))| *count > 0).map(
            |(place, &(_, count))| {
                let (left, right) = (place as f64 + 0.06, place as f64 + 0.94);
                Rectangle::new([(left, 0.0), (right, count as f64)], FIRST.filled())
            },
        ))?;
        Ok(())
    })
}

type Plot<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// An empty plot with room for the labels of both axes.
fn plot<'a, 'b>(area: &'a Drawing<'b>, x: Range<f64>, y: Range<f64>) -> Result<Plot<'a, 'b>, Box<dyn Error>> {
    let mut builder = ChartBuilder::on(area);
    builder.margin(6).margin_right(18).x_label_area_size(28).y_label_area_size(48);
    Ok(builder.build_cartesian_2d(x, y)?)
}

fn mesh(chart: &mut Plot<'_, '_>, labels: usize, x: &dyn Fn(&f64) -> String) -> DrawingResult {
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_labels(labels)
        .y_labels(5)
        .x_label_formatter(x)
        .y_label_formatter(&|y| if y.fract() == 0.0 { format!("{y:.0}") } else { String::new() })
        .label_style(text())
        .draw()?;
    Ok(())
}

/// SYN-ACK retransmissions by number and time, with Linux's schedule as a line.
pub(super) fn schedule(points: &[(u32, f64)]) -> Option<String> {
    let most = points.iter().map(|&(number, _)| number).max()?;
    let latest = points.iter().map(|&(_, seconds)| seconds).fold(1.0, f64::max);
    drawn(|area| {
        let highest = latest.max(f64::from(1 << most.min(7)) - 1.0) * 1.08;
        let range = (0.5..f64::from(most) + 0.5, 0.0..highest);
        let mut chart = plot(area, range.0, range.1)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .max_light_lines(0)
            .bold_line_style(GRID)
            .axis_style(INK)
            .x_labels(most as usize)
            .y_labels(6)
            .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() })
            .y_label_formatter(&|y| if highest < 5.0 { format!("{y:.1} s") } else { format!("{y:.0} s") })
            .label_style(text())
            .draw()?;
        let schedule = LINUX_SYNACK_TIMES.iter().map(|span| span.as_secs_f64());
        let line: Vec<(f64, f64)> = (1..=most).map(f64::from).zip(schedule).collect();
        chart.draw_series(LineSeries::new(line.iter().copied(), SECOND.stroke_width(2)))?;
        let points = points.iter().map(|&(number, seconds)| (f64::from(number), seconds));
        chart.draw_series(points.map(|at| Circle::new(at, 4, FIRST.stroke_width(2))))?;
        // Over the circles, which may be many at one place.
        chart.draw_series(line.iter().map(|&at| Cross::new(at, 6, SECOND.stroke_width(2))))?;
        Ok(())
    })
}

/// The queue that all clients would have made, and the limit that it had.
pub(super) fn queue(series: &Series, limit: Option<QueueLimit>) -> Option<String> {
    let end = series.seconds(series.bins.len());
    let limit = limit.map(|limit| f64::from(limit.value));
    let most = series.bins.iter().map(|bin| f64::from(bin.wanted)).fold(limit.unwrap_or(1.0), f64::max);
    drawn(|area| {
        let mut chart = plot(area, 0.0..end, 0.0..most * 1.08)?;
        mesh(&mut chart, 6, &|x| format!("{x:.1} s"))?;
        let wanted =
            series.bins.iter().enumerate().map(|(place, bin)| (series.seconds(place), f64::from(bin.wanted)));
        chart.draw_series(LineSeries::new(wanted, FIRST.stroke_width(2)))?;
        if let Some(limit) = limit {
            chart.draw_series(LineSeries::new([(0.0, limit), (end, limit)], SECOND.stroke_width(2)))?;
        }
        Ok(())
    })
}
