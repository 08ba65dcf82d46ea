--- fsam: the library that recipes script.
--
--     local fsam = require("fsam")        -- in the REPL it is there already
--
-- Owns: the public name of each module, and loading it at first use, so that starting costs
-- milliseconds. `fsam.NAME` is nil for a name that is not listed.
local MODULES = {
  compare = "compare", convert = "formats.convert",
  data = "data", device = "base.device", errors = "errors",
  formats = "formats", json = "base.json_face", landscape = "landscape", load = "models.predictor",
  mask = "mask", metrics = "data.metrics", models = "models", ops = "pass.ops_face",
  optim = "optim", options = "options", params = "vector.params", pass = "pass",
  predict = "predict", profile = "profile", ranks = "ranks", sam = "sam",
  schedule = "train.schedule", show = "program.show", step = "step", tape = "pass.tape_face",
  task = "data.task", tensor = "base.tensor", text = "text", train = "train", vector = "vector",
}

local function names()
  return require("fsam.base.registry").sorted(MODULES)
end

return setmetatable({
  --- Live and peak bytes of every arena; prints as a table.
  memory = function()
    return require("fsam.base.device").memory()
  end,
}, {
  __index = function(self, name)
    if not MODULES[name] then
      return nil
    end
    local module = require("fsam." .. MODULES[name])
    rawset(self, name, module)
    return module
  end,
  __names = names, -- for completion in the REPL
  __show = function()
    return "fsam: " .. table.concat(names(), "  ")
  end,
})
