--- bench/gpu: our side on the CPU, tiny and short, as bench/gpu/run --check does it, and what its
-- report makes of results. PyTorch's side needs PyTorch and is no part of the tests.
local helper = require("spec.helper")

describe("bench/gpu", function()
  local folder

  setup(function()
    folder = helper.memory_dir()
  end)

  teardown(function()
    helper.remove_dir(folder)
  end)

  local function run(arguments)
    return helper.shell(("FSAM_BUILD=%s OUT=%s PYTHON=/none bench/gpu/run %s"):format(
      helper.quote(helper.build_dir()), folder, arguments))
  end

  -- The cells of the table rows that begin with this one.
  local function rows(text, first)
    local list = {}
    for line in text:gmatch("[^\n]+") do
      local cells = {}
      for cell in line:gmatch("| ([^|]*) ?") do
        cells[#cells + 1] = cell:match("^(.-)%s*$")
      end
      if cells[1] == first then
        list[#list + 1] = cells
      end
    end
    return list
  end

  it("measures our side and says that there is no peer", function()
    local code, out, err = run("--check kernels vectors base-cola-compile")
    assert.equal(0, code, err .. out)
    assert.matches("no peer", out)
    assert.not_matches("failed:", out)
    for _, kernel in ipairs({ "attention forward", "attention backward", "layernorm forward",
      "layernorm backward", "gelu forward", "gelu backward", "embedding forward",
      "embedding backward", "cross-entropy", "linear forward", "linear to the input",
      "linear to the weight", "AdamW", "SAM's perturbation with its norm",
      "ASAM's perturbation with its norm", "exact selection of a tenth", "mask count" }) do
      local found = rows(out, kernel)[1]
      assert.is_true(found ~= nil and tonumber(found[4]) > 0, kernel)
    end
    for _, optimizer in ipairs({ "adam", "sam", "fisher-sam" }) do
      local found = rows(out, optimizer)
      assert.equal(2, #found, optimizer)
      assert.equal("fsam-lua, turn 1", found[1][2])
      assert.equal("fsam-lua, turn 2", found[2][2])
    end
    assert.is_true(tonumber(rows(out, "fisher-sam")[1][10]) >= 0)
    assert.matches("### Aims", helper.read_file(folder .. "/report.md"))
  end)

  it("refuses a part that there is not, in one line", function()
    local code, _, err = run("large-rte")
    assert.equal(2, code)
    assert.equal("run: part large-rte is unknown; bench/gpu/run --list names them\n", err)
  end)

  local function step(side, mode, optimizer, seconds, bytes, more)
    return ([[{"part": "large-cola", "side": "%s", "turn": 1, "kind": "step", "mode": "%s", ]]
      .. [["optimizer": "%s", "precision": "bf16", "seconds": {"median": %g, "q1": %g, "q3": %g}, ]]
      .. [["tokens": 350, "padded": 700, "bytes": %g, "device_bytes": null%s}]]):format(side, mode,
      optimizer, seconds, seconds, seconds, bytes, more or "")
  end

  local function aims(lines)
    local path = helper.write_file(folder .. "/some.jsonl", table.concat(lines, "\n") .. "\n")
    local code, out, err = helper.fsam_lua({ "bench/gpu/report.lua", path })
    assert.equal(0, code, err)
    return function(name)
      return table.concat(rows(out, name)[1], ", ", 3)
    end, out
  end

  it("judges the aims by the mean of both turns and PyTorch's best", function()
    local aim, out = aims({
      step("ours", "fsam-lua", "fisher-sam", 0.006, 8e9, ', "refresh": 0.05'),
      step("ours", "fsam-lua", "fisher-sam", 0.008, 8e9, ', "refresh": 0.05'),
      step("ours", "fsam-lua", "sam", 0.007, 8e9),
      step("theirs", "PyTorch eager", "fisher-sam", 0.042, 9e9),
      step("theirs", "PyTorch eager", "fisher-sam", 0.035, 9e9),
      step("theirs", "PyTorch eager", "sam", 0.035, 9e9),
      step("theirs", "PyTorch eager, unpadded", "fisher-sam", 0.001, 9e9),
      [[{"part": "vectors", "side": "ours", "turn": 1, "kind": "select", "kernel": "s", ]]
        .. [["shape": "n", "bytes": 1, "seconds": 0.003}]],
      [[{"part": "large-cola", "side": "theirs", "kind": "st]], -- cut off
    })
    assert.equal("7.00 ms, met",
      aim("fisher-sam, RoBERTa-large, CoLA: a step in at most 8 ms"))
    assert.equal("5.00 ×, **not met**", aim("the same, at least 6 × PyTorch eager"))
    assert.equal("8.3 %, met", aim("a mask from 32 samples: at most 10 % of 100 steps"))
    assert.equal("0.89, **not met**", aim("peak memory, sam, CoLA: at most 0.85 of PyTorch's"))
    assert.equal("3.00 ms, **not met**", aim("exact selection in at most 2 ms"))
    assert.equal(", not measured", aim("the same, at least 2 × torch.compile"))
    assert.matches("| fisher%-sam | PyTorch eager | bf16 | 42.00 %(42.00 to 42.00%) | 6.00 |", out)
  end)
end)
