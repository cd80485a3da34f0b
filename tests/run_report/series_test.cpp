#include "run_report/series.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace virgil {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Le;
using ::testing::SizeIs;

RunHistory run_with(const std::vector<double>& losses) {
  RunHistory run;
  for (std::size_t row = 0; row < losses.size(); ++row) {
    run.steps.push_back(static_cast<std::int64_t>(row));
    run.elapsed_s.push_back(static_cast<double>(row));
    run.figures[static_cast<std::size_t>(Figure::kLoss)].set(row, losses[row]);
  }
  return run;
}

TEST(VisiblePoints, KeepsTheExtremesOfAMillion) {
  std::vector<Point> points;
  for (int i = 0; i < 1'000'000; ++i) points.push_back({static_cast<double>(i), std::sin(i * 0.001)});
  points[123'456].y = 7;
  points[654'321].y = -7;
  const std::vector<Point> visible = visible_points(points, 0, 999'999, 500);
  EXPECT_THAT(visible, SizeIs(Le(2000U)));
  EXPECT_THAT(visible, Contains(points[123'456]));
  EXPECT_THAT(visible, Contains(points[654'321]));
  EXPECT_EQ(visible.front(), points.front());
  EXPECT_EQ(visible.back(), points.back());
  EXPECT_TRUE(std::ranges::is_sorted(visible, {}, &Point::x));
}

TEST(VisiblePoints, LeavesFewAsTheyAre) {
  const std::vector<Point> points = {{0, 1}, {1, kGap}, {2, 3}};
  EXPECT_THAT(visible_points(points, 0, 2, 100), SizeIs(3));
  EXPECT_THAT(visible_points({}, 0, 0, 100), SizeIs(0));
}

TEST(VisiblePoints, KeepsAGapThatIsAsWideAsAColumn) {
  std::vector<Point> points;
  for (int i = 0; i < 10'000; ++i) points.push_back({static_cast<double>(i), i >= 4000 && i < 6000 ? kGap : 1.0});
  const std::vector<Point> visible = visible_points(points, 0, 9999, 100);
  EXPECT_TRUE(std::ranges::any_of(visible, [](const Point& point) { return std::isnan(point.y); }));
}

TEST(WithoutLevelPoints, KeepsWhereALineTurns) {
  EXPECT_THAT(without_level_points({{0, 1}, {1, 1}, {2, 1}, {3, 2}, {4, 2}}),
              ElementsAre(Point{0, 1}, Point{2, 1}, Point{3, 2}, Point{4, 2}));
  EXPECT_THAT(without_level_points({{0, 1}}), SizeIs(1));
}

TEST(PointsOf, ValuesThatCannotBePlottedAreGaps) {
  const RunHistory run = run_with({1, NAN, INFINITY, 1e305, 2});
  const auto points = points_of(run, Abscissa::kStep, [&](std::size_t row) { return run.at(Figure::kLoss, row); });
  ASSERT_THAT(points, SizeIs(5));
  for (const std::size_t gap : {1U, 2U, 3U}) EXPECT_TRUE(std::isnan(points[gap].y));
}

TEST(PointsOf, PlacesDoNotGoBack) {
  RunHistory run = run_with({1, 2, 3});
  run.elapsed_s = {5, 1, 6};
  const auto points = points_of(run, Abscissa::kTime, [&](std::size_t row) { return run.at(Figure::kLoss, row); });
  EXPECT_THAT(points, ElementsAre(Point{5, 1}, Point{6, 3}));
}

TEST(SmoothedPoints, AreTheExponentialMeanCorrectedForItsStart) {
  const auto smoothed = smoothed_points({{0, 4}, {1, 2}, {2, kGap}, {3, 2}});
  EXPECT_DOUBLE_EQ(smoothed[0].y, 4);
  EXPECT_DOUBLE_EQ(smoothed[1].y, (0.95 * 0.05 * 4 + 0.05 * 2) / (1 - 0.95 * 0.95));
  EXPECT_TRUE(std::isnan(smoothed[2].y));
  EXPECT_LT(smoothed[3].y, smoothed[1].y);
}

TEST(WantsLog, WhereMostIsFarBelowTheLargest) {
  EXPECT_TRUE(wants_log({{{0, 100}, {1, 1}, {2, 1}, {3, 1}}}));
  EXPECT_FALSE(wants_log({{{0, 4}, {1, 2}, {2, 1}}}));
  EXPECT_FALSE(wants_log({{{0, 100}, {1, 0}, {2, 1}, {3, 1}}})) << "zero has no place on it";
  EXPECT_FALSE(wants_log({}));
}

}  // namespace
}  // namespace virgil
