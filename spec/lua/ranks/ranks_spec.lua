-- Ranks: what they sum, and the laws of a step that several share. Two members play in one process
-- (members.lua), each with half of every step's samples.
local members = require("spec.lua.ranks.members")
local ranks = require("fsam.ranks")
local steps_of = require("fsam.step")
local bert = require("spec.lua.small_bert")
local Pass = require("fsam.pass")

local N, HALF = 8, 4

-- Steps of one member. A rank of two has one half of each step; one alone has both as
-- micro-batches.
-- @return the model, and what each step returned
local function train(r, o, steps, poison)
  local model = bert.model(o)
  local pass = Pass.new({ model = model, seed = 5, ranks = r })
  local optimizer = steps_of.build({ params = model.params, optimizer = o.optimizer or "sam",
    base_optimizer = o.base, sam_type = o.sam_type, options = bert.options(o.options), seed = 5,
    sampler = bert.sampler(model) })
  local infos = {}
  for n = 0, steps - 1 do
    local halves = { bert.pack(model, 10 * n, HALF), bert.pack(model, 10 * n + HALF, HALF, HALF) }
    local own = r.size == 1 and halves or { halves[r.rank + 1] }
    local evaluate = pass:bind({ step = n, batches = own, training = true })
    if poison then
      evaluate = poison(evaluate, model, r, n)
    end
    infos[n + 1] = optimizer:step({ evaluate = evaluate, step = n, lr = 1e-3, lr_peak = 1e-3,
      samples = N, micro_batches = 2, progress = n / 10, train_samples = 1000, ranks = r })
  end
  return { model = model, infos = infos, optimizer = optimizer }
end

local function worst_difference(a, b)
  local x, n = a.params.w:tensor():to_host()
  local y, worst = b.params.w:tensor():to_host(), 0
  for i = 0, n - 1 do
    worst = math.max(worst, math.abs(x[i] - y[i]))
  end
  return worst
end

local function options_of(changes)
  local o = { momentum = 0 }
  for key, value in pairs(changes or {}) do
    o[key] = value
  end
  return o
end

local CASES = {
  ["adam"] = { optimizer = "adam", options = { adam_eps = 1e-2 } },
  ["sgd"] = { optimizer = "sgd", options = options_of() },
  ["sam"] = { sam_type = "sam", base = "sgd", options = options_of() },
  ["fisher-sam with the policy sample"] = { sam_type = "fisher-sam", base = "sgd",
    options = options_of({ fisher = "sample" }) },
  ["fisher-sam with the policy batch"] = { sam_type = "fisher-sam", base = "sgd",
    options = options_of({ fisher = "batch", keep_ratio = 1 }) },
  ["esam"] = { sam_type = "esam", base = "sgd", options = options_of({ beta = 0.5, gamma = 0.5 }) },
  ["sam with half of the samples in the ascent"] = { sam_type = "sam", base = "sgd",
    options = options_of({ ascent_fraction = 0.5 }) },
  ["sam with m-sharpness over two groups"] = { sam_type = "sam", base = "sgd",
    options = options_of({ m_sharpness = 2 }) },
}

describe("ranks", function()
  it("sum, gather and decide alike", function()
    local lists = members.run(3, function(r)
      local own = {}
      for i = 1, r.rank do
        own[i] = 10 * r.rank + i
      end
      return { r:sum_numbers({ 1, r.rank })[2], r:gather(own),
        r:any(r.rank == 2), r:any(false), r.is_first, r:owns(4), r:owns(5) }
    end)
    for rank = 0, 2 do
      assert.same({ 3, { 11, 21, 22 }, true, false, rank == 0, rank == 0, rank == 1 },
        lists[rank + 1])
    end
  end)

  it("are one process alone by default, which sums nothing", function()
    local r, list = ranks.alone, { 1, 2 }
    assert.is_true(rawequal(list, r:sum_numbers(list)))
    assert.is_true(rawequal(list, r:gather(list)))
    assert.same({ false, true, true }, { r:any(false), r.is_first, r:owns(7) })
  end)

  for _, precision in ipairs({ "fp32", "bf16" }) do
    for name, case in pairs(CASES) do
      it("two are two micro-batches, and hold the same bits: " .. name .. ", " .. precision,
        function()
          local o = setmetatable({ precision = precision }, { __index = case })
          local one = train(ranks.alone, o, 4)
          local two = members.run(2, function(r) return train(r, o, 4) end)
          assert.is_true(bert.bytes(two[1].model.params.w) == bert.bytes(two[2].model.params.w))
          for n, info in ipairs(one.infos) do
            for _, member in ipairs(two) do
              local got = member.infos[n]
              assert.is_nil(got.skipped)
              assert.near(info.losses, got.losses, precision == "fp32" and 1e-5 or 1e-2)
              assert.near_relative({ info.loss, info.gnorm, info.enorm },
                { got.loss, got.gnorm, got.enorm }, precision == "fp32" and 1e-4 or 2e-2)
              assert.same({ info.correct, info.seen, info.evaluations },
                { got.correct, got.seen, got.evaluations })
            end
          end
          local worst = worst_difference(one.model, two[1].model)
          assert.is_true(worst < (precision == "fp32" and 1e-6 or 2e-4), tostring(worst))
        end)
    end
  end

  it("do not sum in the first pass of m-sharpness", function()
    local o = { sam_type = "sam", base = "sgd", precision = "fp32", options = options_of() }
    local summed = members.run(2, function(r) return train(r, o, 2) end)
    o.options.m_sharpness = 2
    local alone, meetings = members.run(2, function(r) return train(r, o, 2) end)
    assert.is_true(worst_difference(summed[1].model, alone[1].model) > 1e-6)
    o.options.m_sharpness = 4
    local _, more = members.run(2, function(r) return train(r, o, 2) end)
    assert.equal(meetings, more) -- however many groups: g2 once, and the report
  end)

  it("may perturb their own samples by their own gradients: as one rank with as many groups",
    function()
      for _, mask in ipairs({ false, "sample", "magnitude" }) do
        local o = { sam_type = mask and "fisher-sam" or "sam", base = "sgd", precision = "fp32",
          options = options_of({ fisher = mask or nil, m_sharpness = 2 }) }
        local one = train(ranks.alone, o, 3)
        o.options.m_sharpness, o.options.rank_sharpness = 1, "local"
        local two, meetings = members.run(2, function(r) return train(r, o, 3) end)
        local alone = train(ranks.alone, o, 3) -- alone there is one group, of all
        o.options.rank_sharpness = "global"
        local summed, more = members.run(2, function(r) return train(r, o, 3) end)
        assert.is_true(bert.bytes(two[1].model.params.w) == bert.bytes(two[2].model.params.w))
        assert.is_true(worst_difference(one.model, two[1].model) < 1e-6)
        assert.is_true(worst_difference(summed[1].model, two[1].model) > 1e-6)
        assert.is_true(worst_difference(summed[1].model, alone.model) < 1e-6)
        assert.is_true(meetings < more) -- the first gradient is not summed
        for n, info in ipairs(one.infos) do
          assert.near_relative({ info.loss, info.gnorm, info.enorm, info.dnorm },
            { two[2].infos[n].loss, two[2].infos[n].gnorm, two[2].infos[n].enorm,
              two[2].infos[n].dnorm }, 1e-4)
        end
      end
    end)

  local REFUSED = {
    { { sam_type = "gsam" }, "--rank-sharpness local does not go with --sam-type gsam, which "
      .. "combines the gradients of both passes (descend)" },
    { { sam_type = "esam" }, "--rank-sharpness local does not go with --sam-type esam, which "
      .. "chooses the samples of its second pass (select)" },
    { { sam_type = "fisher-sam", fisher = "batch" }, "--rank-sharpness local does not go with "
      .. "--fisher batch: no pass sees the whole batch at w; choose sample, adam, magnitude or "
      .. "random" },
  }

  for _, case in ipairs(REFUSED) do
    it("do not perturb by their own gradients: " .. case[2], function()
      assert.has_error(function()
        steps_of.check({ sam_type = case[1].sam_type },
          { rank_sharpness = "local", fisher = case[1].fisher })
      end, case[2])
    end)
  end

  it("skip a step together when one of them finds a number that is not finite", function()
    for m_sharpness = 1, 2 do
      local o = { sam_type = "sam", base = "sgd", precision = "fp32",
        options = options_of({ m_sharpness = m_sharpness }) }
      local before
      local two = members.run(2, function(r)
        return train(r, o, 2, function(evaluate, model, rank, n)
          if n == 1 then
            before = bert.bytes(model.params.w)
          end
          if rank.is_first or n == 0 then
            return evaluate
          end
          return function(request)
            model.params:flush()
            model.params:weight("classifier.bias"):fill(0 / 0) -- of one rank
            return evaluate(request)
          end
        end)
      end)
      for _, member in ipairs(two) do
        assert.equal("the loss is nan", (member.infos[2].skipped:gsub("-nan", "nan")))
        assert.is_true(before == bert.bytes(member.model.params.w))
      end
    end
  end)
end)
