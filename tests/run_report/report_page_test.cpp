#include "virgil/run_report/report_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/run_report/run_history.h"

namespace virgil {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

RunHistory run_of(const std::vector<double>& losses, const std::string& name = "run") {
  RunHistory run;
  run.name = name;
  for (std::size_t row = 0; row < losses.size(); ++row) {
    run.steps.push_back(static_cast<std::int64_t>(row));
    run.elapsed_s.push_back(static_cast<double>(row));
    run.figures[static_cast<std::size_t>(Figure::kLoss)].set(row, losses[row]);
    run.figures[static_cast<std::size_t>(Figure::kGradNorm)].set(row, 1 / losses[row]);
  }
  return run;
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(ReportPage, HasNoNumberThatIsNone) {
  const std::vector<std::vector<double>> odd = {
      {1}, {NAN}, {INFINITY, -INFINITY}, {2, 2, 2}, {1, NAN, 3}, {1e308, 1e-308}, {-1, 0, 1}, {5e-324, 5e-324}, {0, 0}};
  for (const std::vector<double>& losses : odd) {
    for (const Abscissa abscissa : {Abscissa::kStep, Abscissa::kTokens, Abscissa::kTime}) {
      const std::vector<RunHistory> runs = {run_of(losses)};
      const std::string picture = report_picture(runs, abscissa);
      EXPECT_THAT(picture, Not(HasSubstr("nan "))) << testing::PrintToString(losses);
      EXPECT_THAT(picture, Not(HasSubstr("inf"))) << testing::PrintToString(losses);
      EXPECT_EQ(count(picture, "<svg"), count(picture, "</svg>"));
      EXPECT_TRUE(is_report_page(std::string_view(report_page(runs, abscissa)).substr(0, 2048)));
      EXPECT_FALSE(text_plot(runs, abscissa, {}).empty());
    }
  }
}

TEST(ReportPage, EscapesWhatRunsHold) {
  RunHistory run = run_of({2, 1}, "<img src=x>");
  run.samples.push_back({.step = 1, .text = "</pre><script>alert(1)</script>"});
  run.config.emplace_back("<b>", "\"<i>\"");
  run.problems.emplace_back("<u>");
  run.sessions.push_back({.started = 1e300, .program = "<p>", .host = "<h1>", .device = "<svg>"});
  const std::string page = report_page({run}, Abscissa::kStep);
  for (const char* markup : {"<img", "</pre><script>", "<b>\"", "<i>", "<u>", "<h1><", "<svg>"})
    EXPECT_THAT(page, Not(HasSubstr(markup)));
  EXPECT_THAT(page, HasSubstr("&lt;/pre&gt;&lt;script&gt;alert(1)"));
  EXPECT_EQ(count(page, "<script"), 1U);
}

TEST(ReportPage, MarksWhatWasNotFinite) {
  EXPECT_THAT(report_page({run_of({3, NAN, 2})}, Abscissa::kStep), HasSubstr("the loss is NaN at step 1"));
  EXPECT_THAT(report_page({run_of({3, 2})}, Abscissa::kStep), Not(HasSubstr("class=\"bad\"")));
}

TEST(ReportPage, IsTheSameForTheSameRuns) {
  EXPECT_EQ(report_page({run_of({3, 2})}, Abscissa::kStep), report_page({run_of({3, 2})}, Abscissa::kStep));
}

TEST(ReportPage, OfALongRunIsSmall) {
  std::vector<double> losses;
  for (int i = 0; i < 200'000; ++i) losses.push_back(3 + std::sin(i) + 1.0 / (1 + i));
  EXPECT_LT(report_page({run_of(losses)}, Abscissa::kStep).size(), std::size_t{1} << 19);
}

TEST(ReportCsv, HasWhatThereIsAsItReadsBack) {
  const std::string csv = report_csv({run_of({0.1, NAN, INFINITY})});
  EXPECT_TRUE(is_report_csv(csv));
  EXPECT_FALSE(is_report_csv("step,loss\n"));
  EXPECT_THAT(csv, testing::StartsWith("step,elapsed_s,tokens,epoch,time,loss,"));
  EXPECT_THAT(csv, HasSubstr("\n0,0,,,,0.1,,,10,"));
  EXPECT_THAT(csv, HasSubstr("\n1,1,,,,nan,,,nan,"));
  EXPECT_THAT(csv, HasSubstr("\n2,2,,,,inf,,,0,"));
  const std::string both = report_csv({run_of({1}, "a,b"), run_of({1}, "c\"d")});
  EXPECT_TRUE(is_report_csv(both));
  EXPECT_THAT(both, HasSubstr("\n\"a,b\",0,0,"));
  EXPECT_THAT(both, HasSubstr("\n\"c\"\"d\",0,0,"));
}

TEST(TextPlot, FitsItsColumns) {
  const std::vector<RunHistory> runs = {run_of({4, 3, 2, 1})};
  for (const int columns : {40, 80, 200}) {
    const std::string plot = text_plot(runs, Abscissa::kStep, {.columns = columns, .unicode = false});
    std::size_t longest = 0;
    for (std::size_t at = 0; at < plot.size(); at = plot.find('\n', at) + 1)
      longest = std::max(longest, plot.find('\n', at) - at);
    EXPECT_LE(longest, static_cast<std::size_t>(columns));
    EXPECT_GT(longest, static_cast<std::size_t>(columns - 3));
    for (const char c : plot) EXPECT_LT(static_cast<unsigned char>(c), 0x80);
  }
  EXPECT_THAT(text_plot(runs, Abscissa::kStep, {}), HasSubstr("⠉"));
}

}  // namespace
}  // namespace virgil
