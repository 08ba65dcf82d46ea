--- An update whose result is not finite changes nothing, be it ours or a user's; an ordinary one
-- costs no sweep more.
local helper = require("spec.helper")
local optim = require("fsam.optim")
local sam = require("fsam.sam")
local small_bert = require("spec.lua.small_bert")

-- Optimizers of a user's: what the second update makes is not finite, here or there.
optim.define("user-overflow", { update = function(s)
  return s.g / (s.t == 1 and 0 or 1e3)
end })
optim.define("user-state", { state = { "far" }, update = function(s)
  s.far:set(s.g * (s.t == 1 and math.huge or 1))
  return s.g * 1e-3
end })
sam.define("user-beside", { ascend = function(s)
  return s.g * 1e-3
end, after = function(s)
  s.w:set(s.w + s.g * (s.t == 1 and math.huge or 0))
end })

local BREAKS = { -- setup of small_bert; the update that is not finite, from 0
  { { optimizer = "adam", lr = 1e308 }, 0 },
  { { optimizer = "sgd", lr = 1e308 }, 0 },
  { { optimizer = "lion", lr = 1e39 }, 0 },
  { { optimizer = "lamb", lr = 1e39 }, 0 },
  { { sam_type = "sam", base = "adam", lr = -1e308 }, 0 },
  { { sam_type = "fisher-sam", base = "sgd", lr = 1e308 }, 0 },
  { { sam_type = "wsam", base = "sgd", lr = 1e308 }, 0 },
  { { sam_type = "bsam", lr = 1e308 }, 0 },
  { { optimizer = "adam", lr = 1e3, options = { weight_decay = 3e38 } }, 0 },
  { { optimizer = "user-overflow" }, 1 },
  { { optimizer = "user-state" }, 1 },
  { { sam_type = "user-beside", base = "sgd" }, 1 },
}

describe("an update that is not finite", function()
  for i, case in ipairs(BREAKS) do
    local o = case[1]
    local name = ("%s %s"):format(o.sam_type or "", o.optimizer or o.base or "")
    it(("changes nothing (%d: %s)"):format(i, name), function()
      local model, step, optimizer = small_bert.setup(o)
      for n = 0, case[2] - 1 do
        assert.is_nil(step(n).skipped)
      end
      local before, state = small_bert.snapshot(model), optimizer:state()
      local info = step(case[2])
      assert.matches("^the norm of the new weights is ", info.skipped
        and info.skipped:gsub("^the new %S+ is", "the norm of the new weights is") or "kept")
      assert.same(before, small_bert.snapshot(model))
      assert.same(state, optimizer:state())
      -- Also the copy that passes read.
      local copy = small_bert.working_copy(model)
      optimizer:prepare_evaluation()
      assert.is_true(copy == small_bert.working_copy(model))
    end)
  end

  it("is not looked for in ordinary updates of ours: they take no sweep for it", function()
    local function sweeps(o)
      local model, step = small_bert.setup(o)
      local before = model.params.queue:report().sweeps
      step(0)
      return model.params.queue:report().sweeps - before
    end
    for _, o in ipairs({ { optimizer = "adam" }, { sam_type = "sam", base = "adam" },
      { sam_type = "friendly", base = "adam" }, { sam_type = "fisher-sam", base = "sgd" } }) do
      local ordinary = sweeps(o)
      o.lr = 1e13
      o.options = { weight_decay = 0 }
      assert.is_true(sweeps(o) > ordinary)
    end
  end)
end)

describe("numbers that are not finite", function()
  local C = require("fsam.C")
  local Tensor = require("fsam.base.tensor")
  local devices = require("fsam.base.device")
  local file = require("fsam.base.file")
  local safetensors = require("fsam.formats.safetensors")

  it("are counted in what is written and what is read, in every type and at every place",
    function()
      local folder = helper.temp_dir()
      finally(function()
        helper.remove_dir(folder)
      end)
      local arena = devices.arena(devices.open("cpu"), "counts")
      local n = 300001 -- over several buffers
      for place = 0, n - 1, 49999 do
        for _, bad in ipairs({ 1 / 0, -1 / 0, 0 / 0, 3.4e38 }) do
          local values = C.ffi.new("float[?]", n)
          values[place] = bad
          local expected = bad == 3.4e38 and 0 or 1
          local t = Tensor.new(arena, "f32", { n }, "t")
          C.check(C.lib.fsam_tensor_write(t, values, n))
          file.write_with(folder .. "/x", function(writer)
            writer:write("abc") -- nothing is aligned afterwards
            writer:tensor(t)
            assert.equal(expected, writer:not_finite())
          end)
          safetensors.write(folder .. "/y", { { name = "t", dtype = "F32", shape = { n },
            data = values } })
          local source = safetensors.open(folder .. "/y")
          assert.equal(expected, source:get("t"):not_finite())
          source:close()
          C.lib.fsam_arena_reset(arena)
        end
      end
      local function count(dtype, width, bits)
        safetensors.write(folder .. "/z", { { name = "t", dtype = dtype, shape = { #bits / width },
          data = bits } })
        local source = safetensors.open(folder .. "/z")
        local found = source:get("t"):not_finite()
        source:close()
        return found
      end
      assert.equal(2, count("BF16", 2, "\127\127\128\127\128\255\0\0"))
      assert.equal(2, count("F16", 2, "\255\123\0\124\1\252\0\0"))
      assert.equal(1, count("F64", 8, "\0\0\0\0\0\0\240\127\255\255\255\255\255\255\239\127"))
      assert.equal(0, count("I32", 4, "\0\0\128\127"))
    end)
end)
