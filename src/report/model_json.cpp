#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "virgil/model/family.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/plan/communication.h"
#include "virgil/plan/estimates.h"
#include "virgil/plan/parameter_count.h"
#include "virgil/report/inference_report.h"
#include "virgil/report/model_report.h"
#include "virgil/report/plan_json.h"
#include "virgil/train/memory_json.h"

namespace virgil {

namespace {

using Json = nlohmann::ordered_json;

Json architecture_json(const Architecture& spec) {
  return {{"family", spec.family->model_type},
          {"n_layer", spec.num_layers},
          {"n_head", spec.num_heads},
          {"n_kv_head", spec.num_kv_heads},
          {"head_size", spec.head_size},
          {"n_embd", spec.embedding_dim},
          {"d_ff", spec.d_ff},
          {"block_size", spec.block_size},
          {"vocab_size", spec.vocab_size},
          {"padded_vocab_size", spec.padded_vocab_size()},
          {"position", name_of(spec.position)},
          {"norm", name_of(spec.norm)},
          {"mlp", name_of(spec.mlp)},
          {"conv_taps", spec.conv_taps},
          {"qkv_bias", spec.biases.qkv},
          {"projection_bias", spec.biases.projection},
          {"mlp_bias", spec.biases.mlp},
          {"norm_bias", spec.biases.norm},
          {"tie_weights", spec.tie_weights}};
}

Json breakdown_json(const Architecture& spec, const ParameterBreakdown& b) {
  return {{"token_embedding", b.token_embedding},
          {"position_embedding", b.position_embedding},
          {"per_layer",
           {{"attention", b.attention}, {"feed_forward", b.mlp}, {"layer_norms", b.layer_norms}, {"total", b.per_layer}}},
          {"all_layers", b.all_layers},
          {"final_norm", b.final_norm},
          {"lm_head", b.head},
          {"lm_head_shared", spec.tie_weights}};
}

Json tensors_json(const Architecture& spec) {
  Json list = Json::array();
  const ParameterLayout layout(spec);
  for (const ParameterSpec& tensor : layout.parameters()) {
    Json shape = Json::array();
    for (int axis = 0; axis < tensor.shape.rank(); ++axis) shape.push_back(tensor.shape[axis]);
    list.push_back({{"name", tensor.name},
                    {"shape", shape},
                    {"parameters", tensor.num_elements()},
                    {"decayed", tensor.decayed},
                    {"tied", tensor.tied}});
  }
  return list;
}

Json communication_json(const TrainingShape& shape) {
  const CommunicationVolume volume = communication_volume(shape);
  return {{"zero_stage", shape.parallel.zero_stage},
          {"grad_reduce_dtype", name_of(shape.parallel.wire)},
          {"staging_bytes", shape.parallel.staging_bytes},
          {"gradient_bytes", volume.gradient_bytes},
          {"weight_bytes", volume.weight_bytes},
          {"total_bytes", volume.total_bytes()},
          {"tokens_per_step", checked_multiply(shape.sequences_per_step(), shape.model.block_size)}};
}

}  // namespace

Json plan_json(const MemoryPlan& plan) {
  return {{"total_bytes", plan.total_bytes()}, {"by_category", categories_json(plan.by_category())}};
}

Json training_plan_json(const PlannedSubject& planned) {
  Json json = plan_json(*planned.plan);
  json["batch_size"] = planned.shape.batch_size;
  json["grad_accum_steps"] = planned.shape.grad_accum_steps;
  json["recompute"] = name_of(planned.shape.recompute);
  json["dtype"] = name_of(planned.shape.dtype);
  json["backend"] = planned.machine->description;
  json["processes"] = planned.shape.parallel.processes;
  if (planned.shape.parallel.processes > 1) json["communication"] = communication_json(planned.shape);
  return json;
}

Json model_json(const Subject& subject, const PlannedSubject& planned, const Rate& rate, bool tensors, const GpuModel* gpu) {
  const Architecture& spec = subject.spec;
  const ParameterBreakdown b = count_parameters(spec);
  const FlopsPerToken flops = count_flops(spec);
  const std::int64_t tokens = checked_multiply(kOptimalTokensPerParameter, b.total);
  Json json = {{"model", spec.name},
               {"architecture", architecture_json(spec)},
               {"total_parameters", b.total},
               {"stored_parameters", b.stored_total},
               {"parameters", breakdown_json(spec, b)},
               {"weight_bytes",
                {{"float32", weight_bytes(b.total, 32)},
                 {"float16", weight_bytes(b.total, 16)},
                 {"int8", weight_bytes(b.total, 8)},
                 {"int4", weight_bytes(b.total, 4)}}},
               {"inference", inference_json(subject, gpu)},
               {"plan", planned.plan ? training_plan_json(planned) : Json(nullptr)}};
  if (!planned.plan) json["no_plan"] = planned.why_not;
  json["work"] = {{"training_flops_per_token", flops.training()},
                  {"inference_flops_per_token", flops.inference()},
                  {"compute_optimal_tokens", tokens},
                  {"tflops", rate.tflops},
                  {"seconds", training_seconds(flops, static_cast<double>(tokens), rate.tflops)}};
  if (tensors) json["tensors"] = tensors_json(spec);
  return json;
}

}  // namespace virgil
