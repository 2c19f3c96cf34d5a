export { default } from './ConsolePage.vue';
