export { default } from "genba-ui/console.js";
