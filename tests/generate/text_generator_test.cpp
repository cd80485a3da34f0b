#include "virgil/generate/text_generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <set>

#include "support/test_model.h"
#include "support/user_error.h"
#include "virgil/base/non_finite_error.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::HasSubstr;
using Tokens = std::vector<std::int32_t>;

constexpr std::int64_t kVocabulary = 50;
constexpr std::int64_t kContext = 12;

/// A model of random weights that are large enough for its taste to depend on what it reads.
class Generation : public testing::Test {
 protected:
  struct Model {
    explicit Model(std::int64_t num_sequences, std::int64_t max_length = kContext)
        : backend(make_cpu_backend({.num_threads = 1})),
          plan(trainable(
                   {.num_layers = 2, .num_heads = 2, .embedding_dim = 32, .block_size = kContext, .vocab_size = kVocabulary}),
               {.decode = DecodeShape{.num_sequences = num_sequences, .max_length = max_length}}, backend->traits()),
          memory(plan, backend->memory()),
          decoder(*backend, plan, memory) {
      const TensorView weights = memory.view(PlanSlot::kWeights, 0, DType::kFloat32, {plan.parameters().flat_elements()});
      initialize_parameters(*backend, plan.parameters(), FlatTensor::whole(plan.parameters(), weights), 1);
      auto* values = weights.as<float>();
      for (const ParameterSpec& spec : plan.parameters().parameters()) {
        if (spec.init != InitKind::kNormal) continue;
        for (std::int64_t i = 0; i < spec.num_elements(); ++i) values[spec.offset + i] *= 10;
      }
    }
    std::unique_ptr<Backend> backend;
    MemoryPlan plan;
    PlannedMemory memory;
    GptDecoder decoder;
  };

  static std::vector<Tokens> generate(Model& model, const Tokens& prompt, const GenerationOptions& options) {
    std::vector<Tokens> texts(static_cast<std::size_t>(model.decoder.shape().num_sequences));
    TextGenerator(model.decoder, options).run(prompt, [&](std::int64_t sequence, std::int32_t token) {
      texts[static_cast<std::size_t>(sequence)].push_back(token);
      return true;
    });
    return texts;
  }

  /// Greedy choice after exactly `context`.
  static std::int32_t likeliest(Model& model, std::span<const std::int32_t> context) {
    model.decoder.reset();
    return TokenSampler({.temperature = 0}).choose(model.decoder.append(context), {}, 0);
  }

  static GenerationOptions greedy(std::int64_t max_new_tokens) {
    return {.sampling = {.temperature = 0}, .max_new_tokens = max_new_tokens};
  }
};

TEST_F(Generation, GivesAsManyTokensAsAskedFor) {
  Model model(1);
  for (const std::int64_t count : {1, 2, 7}) {
    EXPECT_EQ(generate(model, {1, 2, 3}, greedy(count))[0].size(), static_cast<std::size_t>(count));
  }
}

TEST_F(Generation, RefusesLogitsThatAreNotFiniteAndNamesWhereTheyBegin) {
  Model model(1);
  const ParameterSpec& spec = model.plan.parameters().find("transformer.wpe.weight");
  auto* weights = reinterpret_cast<float*>(model.memory.bytes(PlanSlot::kWeights).data());
  weights[spec.offset + 5 * 32] = std::numeric_limits<float>::infinity();  // the sixth position
  Tokens generated;
  TextGenerator generator(model.decoder, greedy(9));
  try {
    generator.run(Tokens{1, 2, 3}, [&](std::int64_t, std::int32_t token) {
      generated.push_back(token);
      return true;
    });
    FAIL() << "not refused";
  } catch (const NonFiniteError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("the logits after 6 tokens are NaN or infinite"),
                                             HasSubstr("transformer.wte + transformer.wpe, at position 5")));
  }
  EXPECT_EQ(generated.size(), 3U) << "those that were computed from finite values";
}

TEST_F(Generation, GreedyFollowsTheLikeliestToken) {
  Model model(1);
  Tokens text = {1, 2, 3};
  const Tokens generated = generate(model, text, greedy(8))[0];
  for (const std::int32_t token : generated) {
    EXPECT_EQ(token, likeliest(model, text)) << "at position " << text.size();
    text.push_back(token);
  }
}

TEST_F(Generation, RepeatsForTheSameSeedAndVariesWithSeedStepAndSequence) {
  Model model(3);
  const GenerationOptions options{.sampling = {.temperature = 1.5}, .max_new_tokens = 20, .seed = 5, .step = 2};
  const std::vector<Tokens> texts = generate(model, {7}, options);
  EXPECT_EQ(generate(model, {7}, options), texts);
  EXPECT_NE(texts[0], texts[1]);
  EXPECT_NE(texts[1], texts[2]);
  GenerationOptions other_seed = options, other_step = options;
  other_seed.seed = 6;
  other_step.step = 3;
  EXPECT_NE(generate(model, {7}, other_seed), texts);
  EXPECT_NE(generate(model, {7}, other_step), texts);
}

TEST_F(Generation, SequencesOfOneCallFollowTheirOwnTexts) {
  Model together(3), alone(1);
  const GenerationOptions options{.sampling = {.temperature = 1.0}, .max_new_tokens = 9, .seed = 5};
  const std::vector<Tokens> texts = generate(together, {4, 9}, options);
  // Sequence 0 draws the same numbers whoever runs beside it, and reads no other's text: sums of other lengths could round a
  // choice over, but none lies that near here.
  EXPECT_EQ(generate(alone, {4, 9}, options)[0], texts[0]);
}

TEST_F(Generation, ReadsTheEndOfAPromptThatIsTooLong) {
  Model model(1);
  Tokens prompt;
  for (std::int32_t i = 0; i < 30; ++i) prompt.push_back(static_cast<std::int32_t>(i % kVocabulary));
  const std::span<const std::int32_t> end = std::span(prompt).last(kContext - 1);
  EXPECT_EQ(generate(model, prompt, greedy(1))[0][0], likeliest(model, end));
  // A prompt of the context's length leaves no room either.
  const Tokens full(prompt.begin(), prompt.begin() + kContext);
  EXPECT_EQ(generate(model, full, greedy(1))[0][0], likeliest(model, std::span(full).last(kContext - 1)));
}

TEST_F(Generation, GoesOnFromTheSecondHalfOfAFullContext) {
  Model model(2);
  const Tokens prompt = {1, 2, 3};
  const std::vector<Tokens> texts = generate(model, prompt, {.sampling = {.temperature = 1}, .max_new_tokens = 40, .seed = 3});
  // The rule, followed by hand with a decoder of one sequence.
  Model single(1);
  for (std::size_t s = 0; s < 2; ++s) {
    ASSERT_EQ(texts[s].size(), 40U);
    Tokens context = prompt;
    TokenSampler sampler({.temperature = 1});
    for (std::size_t i = 0; i < 40; ++i) {
      single.decoder.reset();
      const RandomStream stream{3, RandomPurpose::kSampling, static_cast<std::uint32_t>(s), 0};
      const std::int32_t token =
          sampler.choose(single.decoder.append(context), context, static_cast<double>(random_uniform(stream, i)));
      ASSERT_EQ(token, texts[s][i]) << "sequence " << s << ", token " << i;
      context.push_back(token);
      if (context.size() > kContext) context.erase(context.begin(), context.end() - kContext / 2);
    }
  }
}

TEST_F(Generation, WorksWithinAContextOfOneToken) {
  Model model(2, 1);
  EXPECT_EQ(generate(model, {1, 2, 3}, greedy(10))[1].size(), 10U);
}

TEST_F(Generation, EndsASequenceWhenItsReaderHasEnough) {
  Model model(3);
  std::vector<int> counts(3);
  TextGenerator(model.decoder, greedy(20)).run(Tokens{1}, [&](std::int64_t sequence, std::int32_t) {
    const auto s = static_cast<std::size_t>(sequence);
    return ++counts[s] < static_cast<int>(2 + 3 * s);
  });
  EXPECT_EQ(counts, (std::vector<int>{2, 5, 8}));
}

TEST_F(Generation, ChoosesAmongTheFirstIdsOnly) {
  Model model(1);
  GenerationOptions options{.sampling = {.temperature = 5}, .max_new_tokens = 60, .num_choices = 4};
  const Tokens text = generate(model, {1}, options)[0];
  for (const std::int32_t token : text) EXPECT_LT(token, 4);
}

TEST_F(Generation, PenalisesRepetition) {
  Model model(1);
  const auto distinct = [&](double penalty) {
    GenerationOptions options = greedy(kContext - 2);
    options.sampling.repetition_penalty = penalty;
    const Tokens text = generate(model, {1}, options)[0];
    return std::set<std::int32_t>(text.begin(), text.end()).size();
  };
  EXPECT_EQ(distinct(1e6), static_cast<std::size_t>(kContext - 2)) << "nothing twice within the context";
  EXPECT_LE(distinct(1.0), distinct(1e6));
}

TEST_F(Generation, RefusesAnEmptyPromptAndBadOptions) {
  Model model(1);
  EXPECT_THAT(user_error_of([&] { generate(model, {}, greedy(1)); }), HasSubstr("prompt is empty"));
  EXPECT_THAT(user_error_of([&] { generate(model, {1}, greedy(0)); }), HasSubstr("max_new_tokens"));
  EXPECT_THAT(user_error_of([&] { generate(model, {1}, {.sampling = {.top_p = 1.5}}); }), HasSubstr("top_p"));
}

}  // namespace
}  // namespace virgil
