--- Metrics against values worked out by hand (and scikit-learn, SciPy where noted).

local metrics = require("fsam.data.metrics")

local SINGLE = "single_label_classification"

local function compute(name, results)
  return metrics.compute({ name }, results)[name]
end

local function binary(labels, predictions)
  return { labels = labels, predictions = predictions, classes = 2 }
end

describe("classification", function()
  -- tp 3, fn 1, fp 2, tn 2
  local some = binary({ 1, 1, 1, 1, 0, 0, 0, 0 }, { 1, 1, 1, 0, 1, 1, 0, 0 })

  it("accuracy is the share that is right", function()
    assert.equal(5 / 8, compute("accuracy", some))
  end)

  it("mcc is (tp tn - fp fn) / sqrt of the margins", function()
    assert.near((3 * 2 - 2 * 1) / math.sqrt(5 * 4 * 4 * 3), compute("mcc", some), 1e-12)
  end)

  it("mcc is 1, -1 and, for one class only, 0", function()
    assert.near(1, compute("mcc", binary({ 0, 1, 1 }, { 0, 1, 1 })), 1e-12)
    assert.near(-1, compute("mcc", binary({ 0, 1, 1 }, { 1, 0, 0 })), 1e-12)
    assert.equal(0, compute("mcc", binary({ 0, 1, 1 }, { 1, 1, 1 })))
  end)

  -- sklearn.metrics.matthews_corrcoef([0,1,2,2,1,0,2], [0,2,2,2,1,0,1]) = 0.5625
  it("mcc of three classes is Gorodkin's R_K", function()
    assert.near(0.5625, compute("mcc", { labels = { 0, 1, 2, 2, 1, 0, 2 },
      predictions = { 0, 2, 2, 2, 1, 0, 1 }, classes = 3 }), 1e-12)
  end)

  it("f1 is that of class 1, and 0 where no prediction is 1", function()
    assert.near(2 * 3 / (2 * 3 + 2 + 1), compute("f1", some), 1e-12)
    assert.equal(0, compute("f1", binary({ 0, 0 }, { 0, 0 })))
  end)
end)

describe("a sample without a prediction", function()
  it("makes every metric of predictions not a number, and is no collapse", function()
    for _, name in ipairs({ "accuracy", "mcc", "f1" }) do
      for _, predictions in ipairs({ { 0, false, 1 }, { 0, 1, false }, { false, false, false } }) do
        local value = compute(name, binary({ 0, 1, 1 }, predictions))
        assert.is_true(value ~= value)
      end
    end
    assert.is_nil(metrics.collapsed({ false, false }, { 0, 1 }))
  end)
end)

describe("regression", function()
  local scored = { labels = { 1, 2, 3, 4, 5, 5 }, scores = { 1, 3, 2, 6, 4, 6 } }

  -- means 10/3 and 11/3; sums of products 41/3, of squares 40/3 and 64/3
  it("pearson is the correlation of the values", function()
    assert.near(41 / math.sqrt(40 * 64), compute("pearson", scored), 1e-12)
  end)

  it("spearman is the correlation of the ranks, ties sharing theirs", function()
    local ranks = { labels = { 1, 2, 3, 4, 5.5, 5.5 }, scores = { 1, 3, 2, 5.5, 4, 5.5 } }
    assert.near(compute("pearson", ranks), compute("spearman", scored), 1e-12)
  end)

  it("is 0 where a list does not vary", function()
    assert.equal(0, compute("pearson", { labels = { 1, 2 }, scores = { 3, 3 } }))
    assert.equal(0, compute("pearson", { labels = { 1, 2, 4 }, scores = { 0.1, 0.1, 0.1 } }))
    assert.equal(0, compute("spearman", { labels = { 1, 2 }, scores = { 3, 3 } }))
  end)

  -- Deviations -1.5 … 1.5 and -1.75, -0.75, 0.25, 2.25: 6.5 / sqrt(5 · 8.75).
  it("pearson does not depend on the unit, however small or large", function()
    local right = 6.5 / math.sqrt(5 * 8.75)
    for _, unit in ipairs({ 1, 1e-45, 1e-160, 1e-200, 2 ^ -1074, 1e30, 1e160, 4e307 }) do
      local scores = { unit, 2 * unit, 3 * unit, 4 * unit }
      local labels = { 0, 1, 2, 4 }
      assert.near(right, compute("pearson", { labels = labels, scores = scores }), 1e-12)
      assert.near(-right, compute("pearson", { labels = labels,
        scores = { -unit, -2 * unit, -3 * unit, -4 * unit } }), 1e-12)
    end
    -- A tiny spread on a large score.
    assert.near(right, compute("pearson", { labels = { 0, 1, 2, 4 },
      scores = { 1 + 2 ^ -52, 1 + 2 * 2 ^ -52, 1 + 3 * 2 ^ -52, 1 + 4 * 2 ^ -52 } }), 1e-12)
  end)

  it("is not a number where a score is none", function()
    local nan = 0 / 0
    for _, name in ipairs({ "pearson", "spearman" }) do
      for place = 1, 3 do
        local scores = { 1, 2, 3 }
        scores[place] = nan
        local value = compute(name, { labels = { 1, 2, 3 }, scores = scores })
        assert.is_true(value ~= value)
        assert.is_false(metrics.better(name, value, nil))
      end
    end
    local infinite = compute("pearson", { labels = { 1, 2, 3 }, scores = { 1, math.huge, 3 } })
    assert.is_true(infinite ~= infinite)
  end)
end)

describe("which metrics a task has", function()
  it("depends on its classes", function()
    assert.same({ "mcc", "accuracy", "f1", "f1_macro", "f1_micro", "acc_and_f1", "loss" },
      metrics.of_task(SINGLE, 2))
    assert.same({ "mcc", "accuracy", "f1_macro", "f1_micro", "loss" }, metrics.of_task(SINGLE, 3))
    assert.same({ "accuracy", "f1_macro", "f1_micro", "loss" },
      metrics.of_task("multi_label_classification", 2))
    assert.same({ "pearson", "spearman", "corr", "loss" }, metrics.of_task("regression"))
  end)

  it("is checked by name, with the nearest and the list", function()
    assert.has_error(function()
      metrics.check("acuracy", metrics.of_task(SINGLE, 2))
    end, "--best-checkpoint-metric acuracy is unknown; did you mean accuracy? "
      .. "(mcc, accuracy, f1, f1_macro, f1_micro, acc_and_f1, loss)")
    assert.has_error(function()
      metrics.check("pearson", metrics.of_task(SINGLE, 2))
    end, "--best-checkpoint-metric pearson is unknown (mcc, accuracy, f1, f1_macro, f1_micro, "
      .. "acc_and_f1, loss)")
  end)

  it("is checked for its direction", function()
    metrics.check("mcc", metrics.of_task(SINGLE, 2), true)
    assert.has_error(function()
      metrics.check("loss", metrics.of_task(SINGLE, 2), true)
    end, "--maximize-best-checkpoint-metric does not go with loss, which is better when it is "
      .. "smaller; leave the flag out")
  end)
end)

describe("the better of two values", function()
  it("is the larger, of a loss the smaller", function()
    assert.is_true(metrics.better("mcc", 0.5, 0.4))
    assert.is_false(metrics.better("mcc", 0.4, 0.5))
    assert.is_true(metrics.better("loss", 0.4, 0.5))
    assert.is_false(metrics.better("loss", 0.5, 0.4))
    assert.is_true(metrics.better("mcc", -0.2, nil))
  end)

  it("is the later of two that are equal as fairseq rounds them", function()
    assert.is_true(metrics.better("accuracy", 0.9001, 0.9004))
    assert.is_false(metrics.better("accuracy", 0.8994, 0.9004))
    -- 0.3464 and 0.3466 nats are both 0.500 bits.
    assert.is_true(metrics.better("loss", 0.3466, 0.3464))
    assert.is_false(metrics.better("loss", 0.3475, 0.3464))
    assert.is_true(metrics.better("mcc", 0.50001, 0.50003))
    assert.is_false(metrics.better("mcc", 0.5, 0.5003))
  end)

  it("is never NaN", function()
    assert.is_false(metrics.better("loss", 0 / 0, nil))
    assert.is_false(metrics.better("mcc", 0 / 0, 0.1))
  end)
end)

describe("collapse", function()
  it("is one class for all while the labels differ", function()
    assert.equal(1, metrics.collapsed({ 1, 1, 1 }, { 0, 1, 1 }))
    assert.is_nil(metrics.collapsed({ 1, 0, 1 }, { 0, 1, 1 }))
    assert.is_nil(metrics.collapsed({ 1, 1 }, { 1, 1 }))
  end)
end)

describe("F1 over several classes", function()
  -- Class 0: 2 of (2 labels, 3 predictions); class 1: 1 of (3, 2); class 2: 1 of (1, 1); class 3
  -- is nowhere.
  local some = { labels = { 0, 0, 1, 1, 1, 2 }, predictions = { 0, 0, 0, 1, 2, 1 }, classes = 4 }

  it("is the mean over the classes that are there, or that of all samples together", function()
    assert.near((4 / 5 + 2 / 5 + 0) / 3, compute("f1_macro", some), 1e-12)
    assert.equal(compute("accuracy", some), compute("f1_micro", some))
    assert.equal(0.5, compute("f1_micro", some))
  end)

  it("has combined scores", function()
    local two = binary({ 1, 1, 1, 1, 0, 0, 0, 0 }, { 1, 1, 1, 0, 1, 1, 0, 0 })
    assert.near((5 / 8 + 2 / 3) / 2, compute("acc_and_f1", two), 1e-12)
    local scores = { labels = { 1, 2, 3, 4 }, scores = { 1, 2, 3, 10 } }
    assert.near((compute("pearson", scores) + 1) / 2, compute("corr", scores), 1e-12)
  end)
end)

describe("several labels", function()
  local function several(labels, predictions)
    return { labels = labels, predictions = predictions, classes = 3,
      problem = "multi_label_classification" }
  end

  -- Class 0: 1 of (2, 1), class 1: 1 of (1, 2), class 2: neither.
  local some = several({ { 0 }, { 0, 1 }, {} }, { { 0 }, { 1 }, { 1 } })

  it("are right where all of a sample are", function()
    assert.near(1 / 3, compute("accuracy", some), 1e-12)
    assert.equal(1, compute("accuracy", several({ {}, { 2 } }, { {}, { 2 } })))
  end)

  it("have an F1 of all, and the mean of each label's", function()
    assert.near(4 / 6, compute("f1_micro", some), 1e-12)
    assert.near((2 / 3 + 2 / 3 + 0) / 3, compute("f1_macro", some), 1e-12)
    assert.equal(0, compute("f1_micro", several({ {} }, { {} })))
  end)

  it("are not a number where a sample has no decision", function()
    for _, name in ipairs({ "accuracy", "f1_micro", "f1_macro" }) do
      local value = compute(name, several({ { 0 }, {} }, { { 0 }, false }))
      assert.is_true(value ~= value)
    end
  end)
end)
