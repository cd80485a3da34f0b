// The answers of calc_params as JSON, beside what model_json says of the model.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "virgil/plan/parameter_count.h"
#include "virgil/plan/plan_config.h"
#include "virgil/report/inference_report.h"
#include "virgil/report/plan_json.h"
#include "virgil/train/memory_json.h"

namespace virgil {

namespace {

using Json = nlohmann::ordered_json;

Json changes_json(const TrainingShape& from, const TrainingShape& to) {
  Json changes = Json::object();
  for (const auto& [key, value] : changed_keys(from, to)) changes[key] = value;
  return changes;
}

std::int64_t plan_bytes(const PlannedSubject& planned) { return planned.plan ? planned.plan->total_bytes() : 0; }

}  // namespace

Json fit_json(const Subject& subject, const PlannedSubject& planned) {
  if (!subject.trainable) {
    Json list = Json::array();
    for (const InferenceFit& fit : fit_inference(subject.spec, generation_shape(subject), planned.budget)) {
      list.push_back({{"weights", fit.weights.name}, {"total_bytes", fit.total_bytes}, {"verdict", name_of(fit.verdict)}});
    }
    return {{"verdict", name_of(Verdict::kNo)},
            {"why", subject.why_not},
            {"limit_bytes", planned.budget.limit_bytes},
            {"limit_source", planned.budget.source},
            {"inference", list}};
  }
  const std::int64_t bytes = planned.get().total_bytes();
  const Verdict verdict = judge(bytes, planned.budget.limit_bytes);
  Json json = {{"verdict", name_of(verdict)},
               {"limit_bytes", planned.budget.limit_bytes},
               {"limit_source", planned.budget.source},
               {"planned_bytes", bytes}};
  if (verdict != Verdict::kNo) return json;
  json["remedies"] = Json::array();
  for (const Remedy& remedy : find_remedies(planned.shape, planned.budget.aim_bytes, planned.traits())) {
    json["remedies"].push_back({{"changes", changes_json(planned.shape, remedy.shape)},
                                {"planned_bytes", remedy.planned_bytes},
                                {"saved_bytes", remedy.saved_bytes},
                                {"time_factor", remedy.time_factor},
                                {"fits", remedy.fits},
                                {"verdict", name_of(judge(remedy.planned_bytes, planned.budget.limit_bytes))},
                                {"same_training", remedy.same_training}});
  }
  return json;
}

Json matrix_json(const PlannedSubject& planned) {
  Json list = Json::array();
  for (const MatrixCell& cell : plan_matrix(planned)) {
    list.push_back({{"batch_size", cell.batch_size},
                    {"recompute", name_of(cell.recompute)},
                    {"planned_bytes", cell.planned_bytes},
                    {"verdict", name_of(cell.verdict)}});
  }
  return list;
}

Json solve_json(SolveVariable variable, const PlannedSubject& planned, const SolveAnswer& answer) {
  Json json = {{"solve", name_of(variable)}, {"limit_bytes", planned.budget.limit_bytes}, {"changes", nullptr}};
  if (answer.shape) {
    json["changes"] = changes_json(planned.shape, *answer.shape);
    json["planned_bytes"] = answer.planned_bytes;
    json["verdict"] = name_of(judge(answer.planned_bytes, planned.budget.limit_bytes));
  }
  return json;
}

Json models_json(std::int64_t num_parameters, const Architecture& like) {
  Json list = Json::array();
  for (const Architecture& sizes : models_near(num_parameters, like)) {
    list.push_back({{"parameters", count_parameters(trainable(sizes)).total},
                    {"n_layer", sizes.num_layers},
                    {"n_embd", sizes.embedding_dim},
                    {"n_head", sizes.num_heads}});
  }
  return {{"solve", "target_params"}, {"target_params", num_parameters}, {"models", list}};
}

Json compare_json(const Subject& a, const PlannedSubject& plan_a, const Subject& b, const PlannedSubject& plan_b,
                  const Rate& rate) {
  Json difference = {{"total_parameters", count_parameters(b.spec).total - count_parameters(a.spec).total}};
  difference["plan_bytes"] = plan_a.plan && plan_b.plan ? Json(plan_bytes(plan_b) - plan_bytes(plan_a)) : Json(nullptr);
  return {{"a", model_json(a, plan_a, rate, false)}, {"b", model_json(b, plan_b, rate, false)}, {"difference", difference}};
}

Json memory_json(const MemoryComparison& c) {
  const auto part = [](const BytesByCategory& bytes, std::int64_t total) {
    return Json{{"total_bytes", total}, {"by_category", categories_json(bytes)}};
  };
  Json json = {{"planned", part(c.planned, c.planned.total())},
               {"allocated", part(c.allocated, c.allocated.total())},
               {"peak", part(c.peak, c.peak_bytes)}};
  if (c.before.rss_bytes > 0) json["process_before"] = c.before.rss_bytes;
  if (c.after.rss_bytes > 0) json["process_rss"] = c.after.rss_bytes;
  if (c.after.peak_bytes > 0) json["process_peak"] = c.after.peak_bytes;
  return json;
}

}  // namespace virgil
